"""Votes over rankings: the contract of rules that count them, the ballots, the counting and the coding of messages.

A newcomer who wants to write a rule starts with :class:`~robustfl.aggregation.votes.contract.RankAggregator`.

* :mod:`~robustfl.aggregation.votes.contract` holds the base class of such rules, and how their clients train.
* :mod:`~robustfl.aggregation.votes.ballots` reads what clients sent and rejects what is no ranking.
* :mod:`~robustfl.aggregation.votes.counting` adds up the positions of every entry, and rejects rankings with errors.
* :mod:`~robustfl.aggregation.votes.coding` says how many bytes a ranking takes to send.
"""
