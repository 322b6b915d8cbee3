// Ways to multiply that torch-sys has no function for, for `src/product.rs`.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstdint>
#include <optional>

namespace {

using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                          c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

// Nothing where libtorch was built without oneDNN, or has another signature.
const c10::TypedOperatorHandle<Linear>* linear() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<Linear>> {
    try {
      return c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<Linear>();
    } catch (...) {
      return std::nullopt;
    }
  }();
  return found ? &*found : nullptr;
}

}  // namespace

extern "C" {

// x Wᵀ + b by oneDNN: x [rows, in], weight [out, in] of any strides, bias [out] or null. Null where it cannot be.
at::Tensor* ecco_product_onednn(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias) {
  try {
    const auto* found = linear();
    if (found == nullptr) return nullptr;
    const auto added = bias == nullptr ? std::nullopt : std::optional<at::Tensor>(*bias);
    return new at::Tensor(found->call(*x, *weight, added, "none", c10::List<std::optional<at::Scalar>>(), ""));
  } catch (...) {
    return nullptr;
  }
}

// Runs `part(data, from, to)` over 0..n on libtorch's own threads, each with `grain` of them at least.
void ecco_product_parallel(int64_t n, int64_t grain, void (*part)(void*, int64_t, int64_t), void* data) {
  at::parallel_for(0, n, grain, [&](int64_t from, int64_t to) { part(data, from, to); });
}
}
