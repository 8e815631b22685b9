"""A defense in a process of its own, which is handed rows alone.

Code that runs in the process of a simulation can find everything that is there: the call stack leads to the rounds, and
the garbage collector to the test set and to who is malicious. A defense that looks there cannot be told from a robust
one by its numbers. :func:`isolated` moves a defense into a new process, which has never seen the simulation. It gets
the rows, their names, the number of Byzantine rows that is declared to it, and a trusted update if it asks for one.

What is guaranteed, and what is not:

* The process starts anew (it is no fork), in an empty folder, with an environment that was noted before any trial, and
  without the data set, the model, the seed, the round's number, or a word on who is malicious.
* A question that an adversary or an observer asks comes in the same form as the question that counts, and the process
  learns only afterwards which one it was.
* With worker processes, the process of the simulation gets the defense sealed, as bytes: it does not even import the
  module that defines it.
* Its answers are read as data: numbers, texts, arrays and containers of these. No code in them is run.
* While it lives, Python refuses to open files other than code, to write files, to start processes, to use the network,
  and to load libraries. This stops what goes through Python; it is no sandbox of the operating system. Machine code
  that a defense brings along, or the mere existence of files, is not stopped.
* The process that scores a suite does import the module of a defense, to read its name and its parameters. What that
  module changes there while it is imported, in the score itself say, no replay can see.
* A defense that carries a data set along in its code could play a trial again by itself and guess its seed. No process
  can prevent that. Read the code of a defense before you believe its numbers.

A defense that is honest gives the same answers, to the last bit, as in the process of the simulation.

The room: ``process`` starts and asks the other process, ``serving`` is what runs there, ``guard`` is what it is
refused, and ``messages`` is what goes between the two.
"""

from robustfl.isolation.process import IsolatedDefense, Sealed, isolated, seal

__all__ = ["IsolatedDefense", "Sealed", "isolated", "seal"]
