"""Adam as torch has it, by its function: the class imports torch's compiler at its first step, which takes seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Steps of Adam on `parameters`, or with a `weight_decay` of AdamW (decoupled).

    `moments` has `exp_avg` and `exp_avg_sq` of each parameter as they stand after `taken` steps, which are carried on
    in place; without it they begin at zero. `fused` is torch's one loop over all numbers.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        fused: bool = False,
        moments: Mapping[str, Sequence[Tensor]] | None = None,
        taken: int = 0,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.fused = fused
        first, second = (
            list(moments[name]) if moments else [torch.zeros_like(parameter) for parameter in self.parameters]
            for name in ("exp_avg", "exp_avg_sq")
        )
        self.moments = first, second
        on = [parameter.device if fused else "cpu" for parameter in self.parameters]
        self.taken = [torch.tensor(float(taken), device=device) for device in on]

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients."""
        adam(
            self.parameters,
            [parameter.grad for parameter in self.parameters if parameter.grad is not None],
            *self.moments,
            [],
            self.taken,
            fused=self.fused,
            decoupled_weight_decay=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
