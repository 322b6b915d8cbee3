// A CUDA graph: what a stream is given to do, recorded once and replayed. C functions for `src/cuda_graph.rs`, in a library of
// their own: they are of libtorch's CUDA half, which is opened only where there is a driver.

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <memory>

namespace {

// All of a device's graphs are recorded on one stream: cuBLAS keeps a workspace (33 MiB on Hopper) for each stream that it has
// met, until the program ends.
c10::cuda::CUDAStream side_stream(c10::DeviceIndex device) {
  thread_local std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  auto known = streams.find(device);
  if (known == streams.end()) {
    known = streams.emplace(device, c10::cuda::getStreamFromPool(false, device)).first;
  }
  return known->second;
}

// Recorded on a stream beside the one that all else goes to, as CUDA wants it.
struct Graph {
  explicit Graph(c10::DeviceIndex device) : device(device), side(side_stream(device)), before(side) {}

  // Work goes to the side stream from here on. Each waits for the other's: what is recorded reads what was made before.
  void enter() {
    device_before = c10::cuda::current_device();
    c10::cuda::set_device(device);
    before = c10::cuda::getCurrentCUDAStream(device);
    c10::cuda::device_synchronize();
    c10::cuda::setCurrentCUDAStream(side);
    is_inside = true;
  }

  void begin() {
    pool = at::cuda::graph_pool_handle();
    // Where it fails, it may have gone half of the way.
    is_recording = true;
    // Other threads may go on with CUDA meanwhile.
    graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
  }

  void end() {
    if (!is_recording) return;
    is_recording = false;
    try {
      graph.capture_end();
    } catch (...) {
      forget();
      throw;
    }
  }

  // What libtorch leaves undone where CUDA does not end a recording: its allocators, of the device and of the host, would go
  // on asking the graph, which is freed, whether memory is for it. Its generator of random numbers on this device is not to be
  // mended, and refuses to draw from then on: nothing here draws there.
  void forget() noexcept {
    try {
      c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool);
      c10::cuda::CUDACachingAllocator::releasePool(device, pool);
      auto* host = at::getHostAllocator(at::kCUDA);
      host->end_allocate_to_pool(pool);
      host->release_pool(pool);
    } catch (...) {
      // It had come as far as ending it: then the graph gives the pool back when it is freed, and a second time would be an
      // error there.
    }
  }

  void leave() {
    if (!is_inside) return;
    is_inside = false;
    c10::cuda::setCurrentCUDAStream(before);
    c10::cuda::device_synchronize();
    c10::cuda::set_device(device_before);
  }

  c10::DeviceIndex device;
  c10::DeviceIndex device_before = 0;
  c10::cuda::CUDAStream side;
  c10::cuda::CUDAStream before;
  at::cuda::CUDAGraph graph;
  c10::cuda::MempoolId_t pool{0, 0};
  bool is_inside = false;
  bool is_recording = false;
};

// Gives 0, or 1 with what libtorch said in `message`.
template <typename Work>
int told(char* message, uint64_t room, Work work) {
  const char* text = "something that is no exception";
  try {
    work();
    return 0;
  } catch (const c10::Error& error) {
    text = error.what_without_backtrace();
    std::strncpy(message, text, room - 1);
  } catch (const std::exception& error) {
    std::strncpy(message, error.what(), room - 1);
  } catch (...) {
    std::strncpy(message, text, room - 1);
  }
  message[room - 1] = 0;
  return 1;
}

}  // namespace

extern "C" {

// What is done between `enter` and `begin` warms up on the same stream; between `begin` and `end` it is recorded, not done.
int ecco_graph_enter(int device, Graph** graph, char* message, uint64_t room) {
  return told(message, room, [&] {
    auto made = std::make_unique<Graph>(static_cast<c10::DeviceIndex>(device));
    made->enter();
    *graph = made.release();
  });
}

int ecco_graph_begin(Graph* graph, char* message, uint64_t room) {
  return told(message, room, [&] { graph->begin(); });
}

int ecco_graph_end(Graph* graph, char* message, uint64_t room) {
  return told(message, room, [&] {
    graph->end();
    graph->leave();
  });
}

int ecco_graph_replay(Graph* graph, char* message, uint64_t room) {
  return told(message, room, [&] { graph->graph.replay(); });
}

// Also of one whose recording went wrong, which is ended first.
void ecco_graph_free(Graph* graph) {
  char message[8];
  told(message, sizeof message, [&] { graph->end(); });
  told(message, sizeof message, [&] { graph->leave(); });
  told(message, sizeof message, [&] { delete graph; });
}
}
