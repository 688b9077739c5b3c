package fast

import (
	"testing"

	"etcd-tlsproxy/proxy/account"
)

func TestAClientThatStopsInABodyIsStalledWhetherItMayWriteOrNot(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	for _, key := range []string{watchedKey, "/conftool/x"} {
		client, served, _ := r.connect()
		head := "PUT /v2/keys" + key + " HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n"
		if err := client.Send(head + "val"); err != nil {
			t.Fatal(err)
		}
		r.eventually("a client that stopped in the body of a write to "+key+" is stalled", func() bool { return served.Class() == account.Stalled })
		if err := client.Send("ue=1"); err != nil {
			t.Fatal(err)
		}
		r.eventually("it is silent behind its body", func() bool { return served.Class() == account.Silent })
	}
}
