package recovery

import (
	"fmt"
	"time"
)

// sourceFacts tell what the cluster will have.
func sourceFacts(from *source, target string) []string {
	facts := []string{"nothing else may start etcd meanwhile, on any machine: stop configuration management there (puppet agent --disable)"}
	if m := from.manifest; m != nil {
		name := m.Source.Name
		if name == "" {
			name = m.Source.Member.String()
		}
		facts = append(facts, fmt.Sprintf("from the backup %s of %s, taken at %s: every file is as it was written", from.path, name, m.Time.Format(time.RFC3339)))
		if m.Keys != nil {
			facts = append(facts, fmt.Sprintf("it has %d keys, of which %d expire, each at the time it always had", m.Keys.Count, m.Keys.Expiring))
		}
		if m.Index != 0 {
			facts = append(facts, fmt.Sprintf("what was written after index %d is lost", m.Index))
		}
		if other, err := Identify(target, ""); err == nil && other != from.identity {
			facts = append(facts, target+" has the data of a member ("+other.Member.String()+"), which may be newer than the backup: a folder that survived can be given to --backup, too")
		}
		return facts
	}
	return append(facts, "from the data folder "+from.path+" of member "+from.identity.Member.String()+", which has no manifest that it could be checked against",
		"it must not change any more: if it is a running member's, it is copied after that has ended")
}

// advice is what to do and to know when the cluster is back.
func (r *Recovery) advice(from *source) []string {
	advice := []string{"AFTERWARDS",
		"Indexes have gone back to where they were when the data was copied: what is written now gets indexes that lost writes had. A client that waits with a waitIndex from after that hears nothing until the index has grown past it, and no error.",
	}
	if from.manifest != nil {
		advice = append(advice, fmt.Sprintf("The cluster has another id, %s instead of %s. Proxies see that, and end all watches, so that clients read again and start from the new index. Clients that remember the id (python-etcd) say that it has changed: restart them.", from.identity.Cluster, from.manifest.Source.Cluster))
	} else {
		advice = append(advice, "The cluster has the id that it had: nobody notices by the id. Proxies end watches when they see that the index went backwards.")
	}
	advice = append(advice,
		"Restart what keeps an index and asks with it again: PyBal, etcd-mirror (with --reload), and whatever watches etcd past the proxy. confd, conftool and MediaWiki read again by themselves.",
		"In-order keys (POST) are named by the index: new ones may get the names of lost ones, so that a worker takes a new job for one it has done.",
		"The configuration of every member (ETCD_INITIAL_CLUSTER, or what Puppet makes it of) should be "+initialCluster(r.Members)+" with ETCD_INITIAL_CLUSTER_STATE=existing, and no ETCD_FORCE_NEW_CLUSTER anywhere.",
		"Take a backup now. What was moved aside ("+r.asideName()+" in the data folders) can go when nobody misses anything.",
	)
	return advice
}
