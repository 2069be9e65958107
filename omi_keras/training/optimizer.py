"""Adam exactly as PyTorch computes it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("omi_keras")
class TorchAdam(keras.optimizers.Adam):
    """Adam with PyTorch's place for epsilon: ``m̂ / (√v̂ + ε)``.

    Keras divides by ``√v + ε`` and folds the bias correction of ``v`` into the learning rate, which makes its
    epsilon up to 30 times larger in the first steps; five steps from equal weights then differ by 0.1 %.
    The paper trained with PyTorch (section II.B): Adam, ε = 1e-8.

    Parameters
    ----------
    learning_rate
        Step size.
    l2
        ``weight_decay`` of ``torch.optim.Adam``: so many times each parameter is added to its gradient. Keras'
        ``weight_decay`` is another thing, that of AdamW.
    """

    def __init__(self, learning_rate: float = 1e-5, l2: float = 0.0, **kwargs: Any) -> None:
        kwargs.setdefault("epsilon", 1e-8)
        super().__init__(learning_rate, **kwargs)
        self.l2 = l2

    def get_config(self) -> dict[str, Any]:
        """What Keras writes down of it."""
        return {**super().get_config(), "l2": self.l2}

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        """One update of all variables."""
        if self.l2:
            variables = self._trainable_variables if trainable_variables is None else trainable_variables
            grads = [
                None if gradient is None else gradient + self.l2 * ops.cast(variable, gradient.dtype)
                for gradient, variable in zip(grads, variables, strict=True)
            ]
        return super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One update of one variable (Kingma and Ba 2015, Algorithm 1)."""
        dtype = variable.dtype
        rate = ops.cast(learning_rate, dtype)
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        correction_1 = 1 - ops.power(ops.cast(self.beta_1, dtype), step)
        correction_2 = 1 - ops.power(ops.cast(self.beta_2, dtype), step)
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        if keras.backend.backend() == "tensorflow":
            _in_one_pass(variable, m, v, gradient, rate, 1 - correction_1, 1 - correction_2, self)
            return
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        denominator = ops.sqrt(v) / ops.sqrt(correction_2) + self.epsilon
        self.assign_sub(variable, rate / correction_1 * m / denominator)


def _in_one_pass(
    variable: Any, m: Any, v: Any, gradient: Any, rate: Any, power_1: Any, power_2: Any, adam: TorchAdam
) -> None:
    """TensorFlow's own operator reads and writes the memory once, where the sums written out take a pass each.

    Its step is ``rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε′)``, which is PyTorch's with ``ε′ = ε √(1 − β₂ᵗ)``.
    """
    import tensorflow as tf

    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.handle,
        v=v.handle,
        beta1_power=power_1,
        beta2_power=power_2,
        lr=rate,
        beta1=ops.cast(adam.beta_1, variable.dtype),
        beta2=ops.cast(adam.beta_2, variable.dtype),
        epsilon=adam.epsilon * ops.sqrt(1 - power_2),
        grad=gradient,
    )
