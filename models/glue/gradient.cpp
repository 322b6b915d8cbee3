// A node of autograd whose way back is a function of Rust's: C functions for `src/weight/gradient.rs`, beside those of
// torch-sys, whose tensors these are.

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <cstddef>
#include <memory>

namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

// Gives a new tensor, or nothing and why in the message.
using Back = at::Tensor* (*)(void* context, at::Tensor* cotangent, char* message, size_t size);
using Forget = void (*)(void* context);

struct Product : public Node {
  Product(void* context, Back back, Forget forget) : context_(context), back_(back), forget_(forget) {}
  ~Product() override { forget_(context_); }

  variable_list apply(variable_list&& cotangents) override {
    if (!cotangents[0].defined() || !task_should_compute_output(0)) return {at::Tensor()};
    char message[512] = {};
    const std::unique_ptr<at::Tensor> found(back_(context_, &cotangents[0], message, sizeof(message)));
    TORCH_CHECK(found, message);
    return {*found};
  }

 private:
  void* context_;
  Back back_;
  Forget forget_;
};

}  // namespace

extern "C" {

// Makes y a function of x, where gradients are wanted; the context is forgotten with the node, or at once.
void ecco_tie(const at::Tensor* x, const at::Tensor* y, void* context, Back back, Forget forget) {
  if (!torch::autograd::compute_requires_grad(*x)) return forget(context);
  const std::shared_ptr<Node> node(new Product(context, back, forget), torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(*x));
  torch::autograd::set_history(*y, node);
}
}
