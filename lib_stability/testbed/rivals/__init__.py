"""Published detectors of memorized prompts and mitigations, written anew from the papers' formulas, to stand beside the guard on the testbed.

Each module holds one paper's formula as a function of tensors; :mod:`.detectors` turns what an :class:`.observer.Observer` saw of a run into
scores, :mod:`.tuning` chooses what a paper leaves to the model at hand.

Mitigations are subclasses of :class:`.base.Mitigation`; :mod:`.mitigations` lists them with ours and with what tuning may choose from.

Imports world, network, the guard and profiles, never exports or evidence.
"""
