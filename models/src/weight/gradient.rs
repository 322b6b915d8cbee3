//! Gradients through products that autograd does not know.
//!
//! Of a matrix that is kept as its file has it, autograd would keep the numbers that were made for the product and forgotten, or
//! find others in their place; and of our own ways to multiply it knows nothing. So the product is made without it, and tied to x
//! by a node whose way back is the product with the same weight turned (`glue/gradient.cpp`).

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;
use torch_sys::C_tensor;

use super::Weight;
use crate::guard::torch_message;

/// x W + b, differentiable in x: see [`Weight::product`].
pub(super) fn product(weight: &Weight, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
    if !x.requires_grad() {
        return weight.product(x, bias);
    }
    let product = {
        let _no_grad = tch::no_grad_guard();
        weight.product(&x.detach(), bias)
    };
    let context = Box::into_raw(Box::new(weight.tr())).cast();
    // SAFETY: both are tensors for as long as the call takes; the context goes to the node, which drops it, or is dropped
    // at once where no gradients are wanted.
    unsafe { ecco_tie(x.as_ptr(), product.as_ptr(), context, back, forget) };
    product
}

// `glue/gradient.cpp`
unsafe extern "C" {
    /// Makes `y` a function of `x`, where gradients are wanted at the moment.
    fn ecco_tie(
        x: *const C_tensor,
        y: *const C_tensor,
        context: *mut c_void,
        back: unsafe extern "C" fn(*mut c_void, *mut C_tensor, *mut c_char, usize) -> *mut C_tensor,
        forget: unsafe extern "C" fn(*mut c_void),
    );
}

/// From the cotangent of a product to that of what was multiplied: a tensor of the caller's, or none and in `message`,
/// of `size` bytes, why.
unsafe extern "C" fn back(
    context: *mut c_void,
    cotangent: *mut C_tensor,
    message: *mut c_char,
    size: usize,
) -> *mut C_tensor {
    let found = catch_unwind(AssertUnwindSafe(|| {
        let _no_grad = tch::no_grad_guard();
        // SAFETY: what `product` gave, and a tensor for as long as the call takes.
        let (weight, cotangent) = unsafe { (&*context.cast::<Weight>(), Tensor::clone_from_ptr(cotangent)) };
        weight.product(&cotangent, None)
    }));
    match found {
        Ok(mut found) => {
            let tensor = found.as_mut_ptr();
            std::mem::forget(found);
            tensor
        }
        Err(panic) => {
            let text = torch_message(&*panic).unwrap_or_else(|| "a product of a gradient failed".into());
            let text = &text.as_bytes()[..text.len().min(size.saturating_sub(1))];
            // SAFETY: no longer than the room that there is, which the caller has filled with zeros.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), message.cast(), text.len()) };
            std::ptr::null_mut()
        }
    }
}

unsafe extern "C" fn forget(context: *mut c_void) {
    // SAFETY: what `product` gave, once.
    drop(unsafe { Box::from_raw(context.cast::<Weight>()) });
}
