package v2v3

import "testing"

// script has requests of all kinds. Package proxytest compares the answers with those of etcd.
var script = []string{
	"PUT /first?value=1", "PUT /first?value=2", "PUT /first?prevExist=true&value=3", "PUT /first?prevExist=false&value=4",
	"PUT /first?prevValue=3&value=5", "PUT /first?prevValue=3&value=6", "PUT /d?dir=true", "PUT /d/e/f?value=x", "DELETE /d?dir=true",
	"DELETE /d", "PUT /d?prevExist=true&ttl=100", "POST /q?value=1", "POST /q?value=2", "PUT /first?refresh=true&ttl=100&prevExist=true",
	"PUT /first?prevExist=true&value=3", "DELETE /first?prevValue=x", "DELETE /first?prevValue=3", "PUT /x/y?dir=true&ttl=50",
	"PUT /f?value=1", "PUT /f?dir=true", "PUT /first/below/file?value=1", "PUT /first/below?value=2", "PUT /d/g/_hidden?value=1",
	"DELETE /d?recursive=true", "PUT /d/e?value=again", "PUT /t?value=1&ttl=500", "PUT /t?refresh=true&ttl=400", "POST /q?dir=true",
}

func TestAnEmptyTreeHasTheIndexOfItsInit(t *testing.T) {
	f := start(t)
	f.want("GET /", `200 100 {"action":"get","node":{"dir":true}}`)
	f.want("GET /a?quorum=true", `404 100 {"errorCode":100,"message":"Key not found","cause":"/a","index":100}`)
}

func TestAWriteIsReadAndWatched(t *testing.T) {
	f := start(t)
	events, _, _ := f.watch("GET /a?wait=true&recursive=true")
	written := f.do("PUT /a/b?value=1")
	if got := next(t, events); written != "201 "+f.indexText()+" "+got+"\n" {
		t.Errorf("the watch got %s, want the event of the answer %s", got, written)
	}
	late, _, _ := f.watch("GET /a?wait=true&recursive=true&waitIndex=101")
	if got := next(t, late); written != "201 "+f.indexText()+" "+got+"\n" {
		t.Errorf("the late watch got %s, want the event of the answer %s", got, written)
	}
}

// TestTwoStoresHaveTheSameTreeAndHistory lets one store follow all writes, and another one load what they
// left.
func TestTwoStoresHaveTheSameTreeAndHistory(t *testing.T) {
	f := start(t)
	for _, request := range script {
		f.do(request)
	}
	other := open(t, f.options)
	sameTree(t, f.Store, other)
}
