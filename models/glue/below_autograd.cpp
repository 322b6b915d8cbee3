// Work that autograd does not see: C functions for `src/below_autograd.rs`.

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>

extern "C" {

// Where no gradients are wanted, what keeps this thread's operations from asking autograd until it is dropped. Nothing where they are.
void* ecco_below_autograd() {
  return at::GradMode::is_enabled() ? nullptr : new at::AutoDispatchBelowADInplaceOrView();
}

void ecco_drop_below_autograd(void* guard) { delete static_cast<at::AutoDispatchBelowADInplaceOrView*>(guard); }
}
