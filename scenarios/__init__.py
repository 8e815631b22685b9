"""The catalogue of scenarios: `robustfl list scenarios`, `robustfl run NAME`.

* ``quickstart``: robust pipelines against attacks on scikit-learn's digits, in about two minutes.
* ``fashion_mnist``: the same question on Fashion-MNIST with a small convolutional network.
* ``smoke``: a few seconds, to see that everything works.
"""
