# SPDX-License-Identifier: Apache-2.0
"""ctr events --since: the log of our daemon."""

from harness.rig import expect


def events(rig, since, *filters):
    """[(cursor, rest of the line)] of the events after `since`."""
    done = rig.ctr("events", "--since", since, "--no-follow", *filters)
    expect(done.code == 0, done.err)
    return [(line + " ").split(" ", 1) for line in done.out.splitlines()]


def test_events_since(rig):
    """events --since: goes on from a cursor, from both ends, with filters"""
    [(start, nothing)] = events(rig, "end")
    expect(nothing == "", nothing)
    image = rig.image()
    told = events(rig, start)
    expect(told[0][1] == "" and any(" /images/create " in text for _, text in told), str(told))
    expect(told[-1][0] != start, "the cursor goes on")
    expect(len(events(rig, told[-1][0])) == 1, "nothing is told twice")
    filtered = events(rig, "oldest", 'topic=="/images/create"')
    expect(filtered[1:] and all(" /images/create " in text for _, text in filtered[1:]), str(filtered))
    expect(any('"%s"' % image in text for _, text in filtered), "%s is not in %s" % (image, filtered))


def test_events_since_nonsense(rig):
    """events: what is no cursor, and a flag without its other"""
    done = rig.ctr("events", "--since", "nonsense", "--no-follow")
    expect(done.code == 1 and "invalid argument" in done.err.lower(), done.err)
    done = rig.ctr("events", "--no-follow")
    expect(done.code == 1 and "--no-follow needs --since" in done.err, done.err)
