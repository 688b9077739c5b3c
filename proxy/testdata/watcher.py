"""A client of python3-etcd that follows a key through the proxy: watcher.py PORT CA."""
import sys

import etcd

client = etcd.Client(host="localhost", port=int(sys.argv[1]), protocol="https", ca_cert=sys.argv[2], read_timeout=30)
print("one", client.watch("/conftool/followed", recursive=True).value, flush=True)
seen = []
for event in client.eternal_watch("/conftool/followed", recursive=True):
    print("event", event.action, event.key, event.value, flush=True)
    seen.append(event.modifiedIndex)
    if event.value == "last":
        break
assert seen == sorted(set(seen)), seen
