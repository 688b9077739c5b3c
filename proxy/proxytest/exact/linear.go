package exact

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"etcd-tlsproxy/proxy/v2store"
)

// maxSearch bounds the search for an order. A history with many unknown outcomes may need longer; the
// other checks have judged it then.
const maxSearch = 20 * time.Second

// checkLinear looks for an order of the operations of each register and each directory that explains
// their answers, whatever their indexes are.
func (h *History) checkLinear(found *findings) {
	for _, key := range h.Registers {
		check(h.of(key, false), porcupine.Model{Init: func() any { return "" }, Step: stepRegister}, "register "+key, found)
	}
	for _, key := range h.Directories {
		check(h.of(key, true), porcupine.Model{Init: func() any { return absent }, Step: stepDirectory}, "directory "+key, found)
	}
}

func check(ops []porcupine.Operation, m porcupine.Model, name string, found *findings) {
	if porcupine.CheckOperationsTimeout(m, ops, maxSearch) == porcupine.Illegal {
		found.add("the %s is not linearizable: no order explains the answers to %d operations", name, len(ops))
	}
}

// of returns the operations of a key, and of those below it.
func (h *History) of(key string, below bool) []porcupine.Operation {
	var ops []porcupine.Operation
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.Key != key && !(below && strings.HasPrefix(o.Key, key+"/")) || o.Outcome == Refused || !o.write() && (!o.Quorum || o.Outcome != Answered) {
			continue
		}
		returned := int64(o.End)
		if o.Outcome == Unknown {
			returned = math.MaxInt64 // it may be carried out at any later time, or never
		}
		ops = append(ops, porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Start), Output: o, Return: returned})
	}
	return ops
}

// value returns the value of a node, or "" if there is none.
func value(n *v2store.Node) string {
	if n == nil {
		return ""
	}
	return newNode(n).Value
}

// stepRegister is the model of a file. Its state is the value, or "" if there is none.
func stepRegister(state, input, _ any) (bool, any) {
	now, o := state.(string), input.(*Op)
	if !o.write() {
		if o.Code != 0 {
			return now == "", now
		}
		return value(o.Event.Node) == now, now
	}
	next := o.Value
	if o.removes() {
		next = ""
	}
	code := o.registerCode(now)
	switch {
	case o.Outcome == Unknown && code != 0:
		return true, now
	case o.Outcome == Unknown:
		return true, next
	case code != o.Code:
		return false, now
	case code != 0:
		return true, now
	}
	return o.Outcome == Executed || value(o.Event.PrevNode) == now, next
}

// registerCode returns the error that a write of a register gets if it has a value now, or 0.
func (o *Op) registerCode(now string) int {
	compares := o.Action == v2store.CompareAndSwap || o.Action == v2store.CompareAndDelete
	switch {
	case o.Action == v2store.Set:
		return 0
	case o.Action == v2store.Create && now != "":
		return v2store.CodeNodeExist
	case o.Action == v2store.Create:
		return 0
	case now == "":
		return v2store.CodeKeyNotFound
	case compares && now != o.PrevValue:
		return v2store.CodeTestFailed
	}
	return 0
}

// absent is the state of a directory that there is not.
const absent = "absent"

// stepDirectory is the model of a directory with files. Its state has the sorted names of these.
func stepDirectory(state, input, _ any) (bool, any) {
	now, o := state.(string), input.(*Op)
	if !o.write() {
		if o.Code != 0 {
			return now == absent, now
		}
		var names []string
		for _, n := range o.Event.Node.Nodes {
			names = append(names, n.Key[strings.LastIndexByte(n.Key, '/')+1:])
		}
		return now != absent && strings.Join(slices.Sorted(slices.Values(names)), " ") == now, now
	}
	code, next := o.directoryStep(now)
	if o.Outcome == Unknown {
		return true, next
	}
	return code == o.Code, next
}

// directoryStep returns the error of a write to a directory or to a file in it, and the state after it.
func (o *Op) directoryStep(now string) (code int, next string) {
	files := strings.Fields(now)
	if now == absent {
		files = nil
	}
	if !o.Dir {
		name := o.Key[strings.LastIndexByte(o.Key, '/')+1:]
		at := slices.Index(files, name)
		switch {
		case o.removes() && at < 0:
			return v2store.CodeKeyNotFound, now
		case o.removes():
			return 0, strings.Join(slices.Delete(files, at, at+1), " ")
		case at < 0:
			files = append(files, name)
		}
		return 0, strings.Join(slices.Sorted(slices.Values(files)), " ")
	}
	switch {
	case !o.removes() && now != absent:
		return v2store.CodeNodeExist, now
	case !o.removes():
		return 0, ""
	case now == absent:
		return v2store.CodeKeyNotFound, now
	case !o.Recursive && len(files) > 0:
		return v2store.CodeDirNotEmpty, now
	}
	return 0, absent
}
