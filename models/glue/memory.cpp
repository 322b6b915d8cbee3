// What libtorch knows of a GPU's memory, and giving back what it keeps: C functions for `src/gpu.rs`, beside those
// of torch-sys. Of c10 alone, so that it is compiled where there is no CUDA.

#include <c10/core/CachingDeviceAllocator.h>

#include <cstdint>

namespace {

// Nothing where libtorch has no CUDA half, or has not used it yet.
c10::DeviceAllocator* allocator() {
  auto* found = c10::getDeviceAllocator(c10::DeviceType::CUDA);
  return found->initialized() ? found : nullptr;
}

}  // namespace

extern "C" {

// Headers of GCC 11 and newer ask glibc 2.32 whether there is but one thread, to count references without atomics. There never is;
// an answer of ours lets the glue be opened where glibc is older.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;

// Bytes in tensors on a GPU now, the most there have been, and what libtorch has taken from the driver. Gives 0, or 1
// where nothing is known.
int ecco_gpu_tensors(int device, uint64_t* numbers) {
  try {
    auto* gpu = allocator();
    if (gpu == nullptr) return 1;
    const auto stats = gpu->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    numbers[0] = static_cast<uint64_t>(stats.allocated_bytes[all].current);
    numbers[1] = static_cast<uint64_t>(stats.allocated_bytes[all].peak);
    numbers[2] = static_cast<uint64_t>(stats.reserved_bytes[all].current);
    return 0;
  } catch (...) {
    return 1;
  }
}

// Gives all GPUs' memory that no tensor is in back to the driver. Gives 0, or 1 where there is none.
int ecco_gpu_give_back() {
  try {
    auto* gpu = allocator();
    if (gpu == nullptr) return 1;
    gpu->emptyCache();
    return 0;
  } catch (...) {
    return 1;
  }
}
}
