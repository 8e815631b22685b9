"""The catalogue of scenarios: `robustfl list scenarios`, `robustfl run NAME`.

* ``quickstart``: robust pipelines against attacks on scikit-learn's digits, in about two minutes.
* ``fashion_mnist``: the same question on Fashion-MNIST with a small convolutional network.
* ``sybil_foolsgold``: Sybils that flip one label, plain, disguised and under changing names, in a few minutes.
* ``faults``: five defenses under what goes wrong without malice, one thing at a time, in about two minutes.
* ``smoke``: a few seconds, to see that everything works.
"""
