//! How the steps of a forward pass that are not linear are differentiated.
//!
//! A pass is made of linear maps, functions of single numbers, products, norms and softmaxes. Attribution methods that
//! go beyond the gradient keep the values of all of them and put other factors in the place of the slopes: a [`Rule`]
//! says which, a [`Tap`] names it, and every such step of a pass asks it. What autograd then takes of the
//! pass is the method's answer.
//!
//! Rules other than the gradient take a batch of two halves of equal size, of which only the first is differentiated:
//! the second is what it is compared with. The rescale rule makes tens of steps of one, over patterns of all pairs of positions; so
//! it listens to interrupts itself.

use tch::{Kind, Tensor};

use crate::config::Activation;
use crate::guard::heed_interrupt;
use crate::tap::{Site, Tap};

/// Which factors stand for slopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rule {
    /// The slopes.
    #[default]
    Gradient,
    /// What makes the pass an affine map of its input: attention patterns, norms' statistics and gates are held, and an
    /// activation is its value over its input. All of these are the first half's, for both halves: with zeros as its
    /// input the second half becomes the map's constant, what biases and positions alone make.
    Frozen,
    /// Differences to the second half over differences of the input, and for products the mean of one factor times the
    /// difference of the other, for quotients likewise (DeepLIFT's rescale rule, 1704.02685): the pass's difference is then exactly the sum of
    /// the input's, times what autograd gives.
    Rescale,
}

/// A pass that looks at nothing and is differentiated by a rule.
pub struct By(pub Rule);

impl Tap for By {
    fn wants(&self, _: Site, _: usize) -> bool {
        false
    }
    fn visit(&mut self, _: Site, _: usize, value: Tensor) -> Tensor {
        value
    }
    fn rule(&self) -> Rule {
        self.0
    }
}

/// The two halves of a batch.
fn halves(x: &Tensor) -> (Tensor, Tensor) {
    let x = x.detach();
    let n = x.size()[0] / 2;
    (x.narrow(0, 0, n), x.narrow(0, n, n))
}

/// For both halves.
fn twice(x: &Tensor) -> Tensor {
    Tensor::cat(&[x, x], 0)
}

/// f(x) / x, and the slope where x is 0.
pub(crate) fn over_itself(x: &Tensor, value: &Tensor, slope: &Tensor) -> Tensor {
    let is_zero = x.eq(0.0);
    slope.where_self(&is_zero, &(value / x.masked_fill(&is_zero, 1.0)))
}

/// The mean of both halves, for both.
fn middle(x: &Tensor) -> Tensor {
    let (x, x0) = halves(x);
    twice(&((x + x0) / 2.0))
}

/// A value with the slopes of another tensor.
fn with_slope(value: &Tensor, of: &Tensor) -> Tensor {
    value.detach() + (of - of.detach())
}

/// Differences below this are too small to divide by: there the slope at the middle is closer.
fn small(kind: Kind) -> f64 {
    match kind {
        Kind::Double => 6e-6,
        _ => 5e-3,
    }
}

/// (value − value₀) / (x − x₀), or the slope at the middle where they are close; once for each half.
fn secant(x: &Tensor, value: &Tensor, slope: impl Fn(&Tensor) -> Tensor, closeness: f64) -> Tensor {
    heed_interrupt();
    let ((x, x0), (value, value0)) = (halves(x), halves(value));
    let difference = &x - &x0;
    let close = difference
        .abs()
        .le_tensor(&((&x + &x0).abs().clamp_min(1.0) * closeness));
    let quotient = (value - value0) / difference.masked_fill(&close, 1.0);
    twice(&slope(&((x + x0) / 2.0)).where_self(&close, &quotient))
}

impl Rule {
    /// A function of single numbers.
    pub fn elementwise(
        self,
        x: &Tensor,
        f: impl Fn(&Tensor) -> Tensor,
        slope: impl Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        match self {
            Self::Gradient => f(x),
            Self::Frozen => {
                let (now, _) = halves(x);
                x * twice(&over_itself(&now, &f(&now), &slope(&now)))
            }
            Self::Rescale => {
                let value = f(&x.detach());
                let factor = secant(x, &value, slope, small(x.kind()));
                with_slope(&value, &(x * factor))
            }
        }
    }

    pub fn activate(self, activation: Activation, x: &Tensor) -> Tensor {
        match (self, activation) {
            // Its softmax is a gate.
            (_, Activation::SoftmaxLinear) => self.product(&self.softmax(x), x),
            (Self::Rescale, Activation::Relu) => {
                // Exact however close: the difference on one side of 0 is the input's.
                let value = x.detach().relu();
                with_slope(
                    &value,
                    &(x * secant(x, &value, |x| activation.derivative(x), 0.0)),
                )
            }
            _ => self.elementwise(x, |x| activation.forward(x), |x| activation.derivative(x)),
        }
    }

    /// c tanh(x / c), where there is a cap.
    pub fn soft_cap(self, x: Tensor, cap: Option<f64>) -> Tensor {
        let Some(cap) = cap else { return x };
        self.elementwise(
            &x,
            |x| (x / cap).tanh() * cap,
            |x| 1.0 - (x / cap).tanh().square(),
        )
    }

    /// Element by element. The first factor is the one that is held, where one is.
    pub fn product(self, a: &Tensor, b: &Tensor) -> Tensor {
        self.bilinear(a, b, |a, b| a * b)
    }

    pub fn matmul(self, a: &Tensor, b: &Tensor) -> Tensor {
        self.bilinear(a, b, |a, b| a.matmul(b))
    }

    fn bilinear(self, a: &Tensor, b: &Tensor, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        match self {
            Self::Gradient => f(a, b),
            Self::Frozen => f(&self.held(a), b),
            Self::Rescale => {
                heed_interrupt();
                let slopes = f(a, &middle(b)) + f(&middle(a), b);
                with_slope(&f(&a.detach(), &b.detach()), &slopes)
            }
        }
    }

    /// a / b, where b is what is held. By the rescale rule what the product a = (a / b) b says: Δ(a / b) is Δa less the
    /// mean quotient times Δb, over the mean b, which is bounded however small b is in one half.
    pub fn quotient(self, a: &Tensor, b: &Tensor) -> Tensor {
        match self {
            Self::Gradient => a / b,
            Self::Frozen => a / self.held(b),
            Self::Rescale => {
                let value = a.detach() / b.detach();
                let slopes = (a - middle(&value) * b) / middle(b);
                with_slope(&value, &slopes)
            }
        }
    }

    /// What the frozen rule takes as given: the first half's, for both.
    pub fn held(self, x: &Tensor) -> Tensor {
        match self {
            Self::Frozen => twice(&halves(x).0),
            _ => x.shallow_clone(),
        }
    }

    /// x / √(mean x² + ε) over the last axis.
    pub fn over_root_mean_square(self, x: &Tensor, epsilon: f64) -> Tensor {
        let mean = |x: &Tensor| x.mean_dim(-1, true, None::<Kind>);
        if self != Self::Rescale {
            return x * self.held(&(mean(&x.square()) + epsilon).rsqrt());
        }
        let square = self.product(x, x);
        let mean = mean(&square) + epsilon;
        let root = mean.detach().sqrt();
        // (√a − √b) / (a − b) = 1 / (√a + √b): no difference is divided by.
        let slope = (middle(&root) * 2.0).reciprocal();
        self.quotient(x, &with_slope(&root, &(mean * slope)))
    }

    /// Over the last axis; −∞ stays out. The frozen rule differentiates it: only where patterns are made is it held.
    ///
    /// By the rescale rule it is exp(x − log Σ exp x), each of the functions by itself.
    pub fn softmax(self, x: &Tensor) -> Tensor {
        match self {
            Self::Rescale => {
                heed_interrupt();
                let hidden = x.detach().isneginf();
                let log = self.log_softmax(x).masked_fill(&hidden, 0.0);
                self.exp(&log).masked_fill(&hidden, 0.0)
            }
            _ => x.softmax(-1, None::<Kind>),
        }
    }

    pub fn log_softmax(self, x: &Tensor) -> Tensor {
        if self != Self::Rescale {
            return x.log_softmax(-1, None::<Kind>);
        }
        let hidden = x.detach().isneginf();
        let whole = x.detach().logsumexp([-1], true); // [.., 1]
        let x = x.masked_fill(&hidden, 0.0);
        heed_interrupt();
        // Both halves less one number: quotients of exponentials stay as they are, and none is too large.
        let (a, b) = halves(&x.masked_fill(&hidden, f64::NEG_INFINITY));
        let shift = a.maximum(&b).amax([-1], true);
        let shifted = &x - twice(&shift);
        let exp = shifted.detach().exp().masked_fill(&hidden, 0.0);
        let of_exp = secant(&shifted, &exp, Tensor::exp, small(x.kind())).masked_fill(&hidden, 0.0);
        let sum = exp.sum_dim_intlist(-1, true, None::<Kind>);
        let ((sum, sum0), (log, log0)) = (halves(&sum), halves(&whole));
        let close = (&sum - &sum0)
            .abs()
            .le_tensor(&((&sum + &sum0) * small(x.kind())));
        let quotient = (log - log0) / (&sum - &sum0).masked_fill(&close, 1.0);
        heed_interrupt();
        let of_log = twice(&((sum + sum0) / 2.0).reciprocal().where_self(&close, &quotient));
        let slopes = (&x * of_exp).sum_dim_intlist(-1, true, None::<Kind>) * of_log;
        x - with_slope(&whole, &slopes)
    }

    pub fn exp(self, x: &Tensor) -> Tensor {
        self.elementwise(x, Tensor::exp, Tensor::exp)
    }

    /// What of `x` is chosen, `mask` being 1 there and 0 elsewhere, by itself in each half. By the rescale rule a choice
    /// that differs counts as a change of `x`.
    pub fn chosen(self, x: &Tensor, mask: &Tensor) -> Tensor {
        let value = x * mask;
        match self {
            Self::Rescale => {
                let (a, b) = halves(mask);
                let middle = (a + b) / 2.0;
                let factor = secant(x, &value, |_| middle.shallow_clone(), 0.0);
                with_slope(&value, &(x * factor))
            }
            _ => value,
        }
    }

    /// x over its sum along the last axis.
    pub fn over_sum(self, x: &Tensor) -> Tensor {
        self.quotient(x, &x.sum_dim_intlist(-1, true, None::<Kind>))
    }
}
