#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is lost when a part dies, restarts or comes late? Of a programmed session: nothing (I5)."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same  # noqa: E402
from sally.control import ask  # noqa: E402
from sally.town import ALICE, BOB, CAROL, PHONE, addresses, greet, matrix, settle, town  # noqa: E402


def stream(lab, user=ALICE):
    """Traffic of one user, both ways, a few hundred frames a second."""
    c, w = lab.clients[user], lab.workloads[user + "/web"]
    return probe.Stream(c, addresses(c)[0], w, addresses(w)[0]).start()


def nothing_lost(s):
    s.progressed(150)
    sent, lost = s.finish()
    check(sent > 300, f"only {sent} frames were sent")
    check(lost == 0, f"{lost} of {sent} frames lost")


def picture(lab):
    """What must not change by a restart of the daemon: sessions and workloads, without counters."""
    keep = ("id", "user", "segment", "instance", "common_name", "remote", "time_unix", "vid", "address", "address6")
    sessions = sorted(({k: s.get(k) for k in keep} | {"macs": sorted(s["macs"])} for s in lab.sessions()),
                      key=lambda s: s["id"])
    workloads = sorted((w["user"], w["name"], w["mac"], w["state"], w["ifindex"])
                       for w in lab.ask("workload-list")["items"])
    return sessions, workloads


def links(lab):
    """ids of the BPF links and the programs behind them."""
    out = {}
    text = net.run("bpftool", "-j", "link", "show").stdout
    import json
    for link in json.loads(text):
        if link.get("type") in ("tcx", "xdp"):
            out[link["id"]] = link["prog_id"]
    return out


def reconnected(c, mark, timeout=30):
    c.log.wait("Initialization Sequence Completed", timeout, mark, c.process)


def wait_gone(lab, predicate, what, timeout=15):
    net.wait_for(lambda: not [s for s in lab.sessions() if predicate(s)], timeout, what, 0.05)


def daemon_killed(lab):
    with case("kill -9 of the daemon under traffic: not a frame lost"):
        before = picture(lab)
        s = stream(lab)
        s.progressed(50)
        lab.daemon.kill9()
        s.progressed(150)  # nobody is there, and it flows
        lab.daemon.start()
        nothing_lost(s)
    with case("and the daemon that comes back knows everything"):
        same(picture(lab), before, "sessions and workloads")
    with case("five kills in a row, in the middle of its start too"):
        s = stream(lab)
        for i in range(5):
            try:
                lab.daemon.start(timeout=0.02 * (i + 1))
            except AssertionError:
                pass
            lab.daemon.kill9()
        lab.daemon.start()
        nothing_lost(s)
        same(picture(lab), before, "sessions and workloads")


def upgraded(lab):
    with case("an orderly restart puts new programs behind the same links: not a frame lost"):
        before, state = links(lab), picture(lab)
        check(before, "there are no BPF links")
        s = stream(lab)
        lab.daemon.stop()
        s.progressed(30)
        lab.daemon.start()
        nothing_lost(s)
        after = links(lab)
        same(set(after), set(before), "ids of the links")
        check(all(after[k] != before[k] for k in after), f"old programs still run: {before} {after}")
        same(picture(lab), state, "sessions and workloads")
    with case("a reload by SIGHUP: not a frame lost"):
        s = stream(lab)
        lab.daemon.process.send_signal(signal.SIGHUP)
        nothing_lost(s)
    with case("the whole matrix still holds"):
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")


def missed_while_away(lab):
    with case("a client that left while the daemon was dead is gone when it returns"):
        c = lab.clients[BOB]
        lab.daemon.kill9()
        mark = lab.servers["main"].log.mark()
        c.kill9()
        lab.servers["main"].log.wait(f"{BOB}/.*(SIGTERM|client-instance exiting|restarting)", 20, mark)
        lab.daemon.start()
        wait_gone(lab, lambda s: s["common_name"] == BOB, "bob's session to be gone")
    with case("and gets in again"):
        lab.clients[BOB].connect(30)
        settle(lab, lab.clients[BOB])


def openvpn_killed(lab):
    """kill -9 fires no hook: the daemon must notice by itself."""
    server = lab.servers["main"]
    with case("kill -9 of OpenVPN: its sessions and bindings are flushed"):
        marks = {c: c.log.mark() for c in lab.clients.values()}
        old = {s["id"] for s in lab.sessions()}
        server.kill9()
        wait_gone(lab, lambda s: True, "all sessions to be flushed")
        for name in ("bindings", "vids"):
            dump = net.run("bpftool", "-j", "map", "dump", "pinned", find_map(name)).stdout
            tap = int(open(f"/sys/class/net/{server.tap}/ifindex").read())
            left = [e for e in __import__("json").loads(dump) if f'"ifindex": {tap},' in __import__("json").dumps(e)]
            check(not left, f"{name} still has {left[:3]}")
    with case("clients come back by themselves, nothing is stale"):
        server.start()
        for c, mark in marks.items():
            reconnected(c, mark)
        settle(lab)
        now = lab.sessions()
        same(len(now), len(lab.clients), "sessions")
        check(not old & {s["id"] for s in now}, "an old session is still there")
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")


def find_map(name):
    for top, _, files in os.walk("/sys/fs/bpf"):
        if name in files:
            return f"{top}/{name}"
    raise AssertionError(f"no pinned map {name}")


def openvpn_signals(lab):
    server = lab.servers["main"]
    for sig in (signal.SIGUSR1, signal.SIGHUP):
        with case(f"{sig.name} of OpenVPN: clients are back, no old session stays"):
            old = {s["id"] for s in lab.sessions()}
            marks = {c: c.log.mark() for c in lab.clients.values()}
            mark = server.log.mark()
            server.signal(sig)
            server.log.wait("Initialization Sequence Completed", 15, mark, server.process)
            for c, m in marks.items():
                reconnected(c, m)
            settle(lab)
            wait_gone(lab, lambda s: s["id"] in old, "the old sessions to be gone")
            same(len(lab.sessions()), len(lab.clients), "sessions")


def client_killed(lab):
    with case("a client killed: its session ends, its user's other device does not notice"):
        a, w = lab.clients[ALICE], lab.workloads["alice/web"]
        pinger = probe.Pinger(a.ns, "10.50.0.101")
        lab.clients[PHONE].kill9()
        wait_gone(lab, lambda s: s["common_name"] == PHONE, "the session to end", 25)
        sent, got = pinger.finish()
        check(sent - got <= 1, f"alice lost {sent - got} of {sent}")
        lab.clients[PHONE].connect()
        settle(lab, lab.clients[PHONE])
        check(w.mac, "a workload without a MAC")


def late_events(lab):
    """Events of a session that is over must not harm the one that took its place."""
    c = lab.clients[CAROL]
    pid = next(i["openvpn_pid"] for i in lab.ask("status")["instances"])

    def key(s):
        ip, port = s["remote"].rsplit(":", 1)
        return {"common_name": s["common_name"], "trusted_ip": ip, "trusted_port": int(port),
                "time_unix": s["time_unix"], "daemon_pid": pid, "instance": "main",
                "deadline_us": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + 200000}

    old = key(lab.sessions(CAROL)[0])
    c.stop()
    wait_gone(lab, lambda s: s["user"] == CAROL, "carol's session to end")
    c.connect()
    settle(lab, c)
    new = lab.sessions(CAROL)
    with case("a disconnect of the old generation after the new connect changes nothing"):
        pinger = probe.Pinger(c.ns, "10.50.0.103")
        lab.ask("hook-disconnect", **old)
        same([s["id"] for s in lab.sessions(CAROL)], [s["id"] for s in new], "carol's sessions")
        same(lab.sessions(CAROL)[0]["macs"], new[0]["macs"], "her MACs")
        sent, got = pinger.finish()
        check(sent - got <= 1, f"carol lost {sent - got} of {sent}")
    with case("a delete that began before the new session learned the MAC is too late"):
        lab.ask("hook-forget", instance="main", mac=c.mac, vid=new[0]["vid"] or 0, time_us=1,
                deadline_us=old["deadline_us"])
        same(lab.sessions(CAROL)[0]["macs"], new[0]["macs"], "her MACs")
        same(probe.ping(c.ns, "10.50.0.103", "-i", "0.1"), (3, 3), "pings")
    with case("a learn of the old generation is refused"):
        reply = ask(lab.socket, "hook-learn", event="add", mac="02:00:00:00:66:66", vid=new[0]["vid"] or 0,
                    **{**old, "deadline_us": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + 200000})
        same(reply["allow"], False, "allow")


def storm(lab):
    with case("a reconnect storm: 40 logins of two devices, killed without a farewell"):
        for _ in range(20):
            for name in (BOB, CAROL):
                c = lab.clients[name]
                if c.process.poll() is None:
                    c.kill9()
                c.start()
            for name in (BOB, CAROL):
                lab.clients[name].wait(30)
        settle(lab, lab.clients[BOB], lab.clients[CAROL])
        wait_gone(lab, lambda s: lab.sessions().__len__() > len(lab.clients), "sessions of the dead", 30)
        same(len(lab.sessions()), len(lab.clients), "sessions")
    with case("nobody else noticed, and no VLAN id was given out twice"):
        greet(lab, lab.clients[ALICE])
        vids = [s["vid"] for s in lab.sessions() if s["vid"]]
        same(len(set(vids)), len(vids), "distinct VLAN ids")


def sever(mode):
    lab = town(mode)
    daemon_killed(lab)
    upgraded(lab)
    missed_while_away(lab)
    openvpn_killed(lab)
    openvpn_signals(lab)
    client_killed(lab)
    late_events(lab)
    storm(lab)
    lab.close()


def sever_mac(mode):
    """MAC mode keeps its state in other maps: the same core questions."""
    lab = town(mode)
    daemon_killed(lab)
    openvpn_killed(lab)
    late_events(lab)
    lab.close()


main((sever, "vlan"), (sever_mac, "mac"))
