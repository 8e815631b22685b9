"""Attacks on test samples: they change samples so that a trained model errs on them.

Start with `FGSM`, the simplest one. Their contract is :class:`~robustfl.threats.Evasion`.

* ``fgsm``: `FGSM` takes one signed step that increases the loss.
* ``pgd``: `PGD` takes many such steps, and is the attack to evaluate with.
* ``zeroth_order``: `ZerothOrder` needs no gradients, and shows whether a model hides its gradients.
"""
