package recovery

import (
	"fmt"
	"time"
)

// sourceFacts says what the recovered cluster will contain.
func sourceFacts(from *source, target string) []string {
	facts := []string{"nothing else may start etcd during the recovery, on any machine: stop configuration management there (puppet agent --disable)"}
	if m := from.manifest; m != nil {
		name := m.Source.Name
		if name == "" {
			name = m.Source.Member.String()
		}
		facts = append(facts, fmt.Sprintf("the source is the backup %s of %s, taken at %s; all of its files are unchanged", from.path, name, m.Time.Format(time.RFC3339)))
		if m.Keys != nil {
			facts = append(facts, fmt.Sprintf("it has %d keys, of which %d expire, each at its original time", m.Keys.Count, m.Keys.Expiring))
		}
		if m.Index != 0 {
			facts = append(facts, fmt.Sprintf("writes after index %d are lost", m.Index))
		}
		if other, err := Identify(target, ""); err == nil && other != from.identity {
			facts = append(facts, target+" has the data of a member ("+other.Member.String()+"), which may be newer than the backup: --backup also accepts a data folder that survived")
		}
		return facts
	}
	return append(facts, "the source is the data folder "+from.path+" of member "+from.identity.Member.String()+"; it has no manifest to check it against",
		"it must not change any more: if its member is running, it is copied after that has stopped")
}

// advice lists what the operator has to do and to know after the recovery.
func (r *Recovery) advice(from *source) []string {
	advice := []string{"AFTERWARDS",
		"Indexes have gone back to where they were when the data was copied: new writes get indexes that lost writes had. A client that waits with a later waitIndex gets no events and no error until the index has passed it.",
	}
	if from.manifest != nil {
		advice = append(advice, fmt.Sprintf("The cluster has another id, %s instead of %s. Proxies notice that and end all watches, so that clients read again and start from the new index. Clients that keep the id (python-etcd) report that it has changed: restart them.", from.identity.Cluster, from.manifest.Source.Cluster))
	} else {
		advice = append(advice, "The cluster keeps its id, so clients cannot detect the recovery from the id. Proxies end watches when they see that the index went backwards.")
	}
	advice = append(advice,
		"Restart programs that keep an index and use it again: PyBal, etcd-mirror (with --reload), and everything that watches etcd without the proxy. confd, conftool and MediaWiki read again on their own.",
		"In-order keys (POST) are named by the index: new keys may get the names of lost ones, so that a worker mistakes a new job for one that it has done.",
		"Set ETCD_INITIAL_CLUSTER of every member (or its source in Puppet) to "+initialCluster(r.Members)+" and ETCD_INITIAL_CLUSTER_STATE to existing. ETCD_FORCE_NEW_CLUSTER must not be set anywhere.",
		"Take a backup now. The old data ("+r.asideName()+" in the data folders) can be deleted when nothing is missing.",
	)
	return advice
}
