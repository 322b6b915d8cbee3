// What products with weights need of libtorch and tch does not bind: C functions for `src/product.rs`, beside those of torch-sys,
// whose tensors these are.

#include <ATen/Parallel.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>

#include <exception>
#include <optional>
#include <string_view>

namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using Linear = at::Tensor(
    const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view, Scalars, std::optional<std::string_view>);

}  // namespace

extern "C" {

// x W^T + b by oneDNN: x [row, in], W [out, in], b [out] or nothing. Nothing where this libtorch has no oneDNN, or it failed.
at::Tensor* ecco_onednn_linear(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias) {
  try {
    static const auto linear = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Linear>();
    const auto added = bias ? std::optional<at::Tensor>(*bias) : std::nullopt;
    return new at::Tensor(linear.call(*x, *weight, added, "none", Scalars(), std::nullopt));
  } catch (const std::exception&) {
    return nullptr;
  }
}

// Calls with ranges that together are 0 to n, on libtorch's threads; a thread is worth starting for `grain` of them.
void ecco_parallel(int64_t n, int64_t grain, void* context, void (*each)(void* context, int64_t from, int64_t to)) {
  at::parallel_for(0, n, grain, [&](int64_t from, int64_t to) { each(context, from, to); });
}
}
