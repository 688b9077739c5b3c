"""What conftool and its users do, with the library they use: python3-etcd.

Arguments: port, CA file. Each line of output is one step; the exit status is 0
if all of them went as a cluster behind the nginx site would let them go.
"""
import sys
import etcd

port, ca = int(sys.argv[1]), sys.argv[2]
failed = 0


def client(user, password, **kwargs):
    return etcd.Client(host="localhost", port=port, protocol="https", ca_cert=ca,
                       username=user, password=password, allow_reconnect=False, **kwargs)


def step(what, want, run):
    global failed
    try:
        got = run()
    except Exception as error:  # the class is the result
        got = type(error).__name__
    if got != want:
        failed = 1
    print(what, "as wanted" if got == want else "got %r, wanted %r" % (got, want))


conftool = client("conftool", "conftool-pw")
key = "/conftool/v1/pools/eqiad/mw1001"
step("constructing with wrong credentials", "http", lambda: client("conftool", "wrong").version_prefix and "http")
step("machines", True, lambda: len(client("conftool", "wrong").machines) > 0)
step("reading what is not there", "EtcdKeyNotFound", lambda: conftool.read(key, quorum=True))
step("creating", "1", lambda: conftool.write(key, "1", prevExist=False).value)
step("creating again", "EtcdAlreadyExist", lambda: conftool.write(key, "1", prevExist=False))
seen = conftool.read(key, quorum=True)
step("the index", True, lambda: seen.etcd_index >= seen.modifiedIndex > 0)
step("changing", "2", lambda: conftool.write(key, "2", prevIndex=seen.modifiedIndex, prevExist=True).value)
step("changing what has changed", "EtcdCompareFailed",
     lambda: conftool.write(key, "3", prevIndex=seen.modifiedIndex, prevExist=True))
step("writing elsewhere", "EtcdInsufficientPermissions", lambda: conftool.write("/other", "1"))
step("writing without a password", "EtcdInsufficientPermissions", lambda: client(None, None).write(key, "1"))
step("writing with a wrong password", "EtcdInsufficientPermissions", lambda: client("conftool", "wrong").write(key, "1"))
step("reading with a wrong password", "2", lambda: client("conftool", "wrong").read(key).value)
step("a watch that sees the past", "2", lambda: conftool.watch(key, index=seen.modifiedIndex + 1).value)
step("a watch that times out", "EtcdWatchTimedOut", lambda: client("conftool", "conftool-pw", read_timeout=1).watch(key, timeout=1))
step("tokens of eventlogging", "t", lambda: client(None, None).write("/eventlogging/token/a", "t", ttl=60, prevExist=False).value)
step("a tree", [key], lambda: [leaf.key for leaf in conftool.read("/conftool", recursive=True).leaves])
step("appending", True, lambda: conftool.write("/conftool/locks", "x", append=True, ttl=15).key.startswith("/conftool/locks/"))
step("deleting a tree", "delete", lambda: conftool.delete("/conftool/v1", recursive=True).action)
step("the version", True, lambda: len(client("conftool", "wrong").version) > 0)
sys.exit(failed)
