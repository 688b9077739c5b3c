package v2store

// Action is what an operation does. Events show it.
type Action string

const (
	Get              Action = "get"
	Set              Action = "set"
	Create           Action = "create"
	Update           Action = "update"
	CompareAndSwap   Action = "compareAndSwap"
	Delete           Action = "delete"
	CompareAndDelete Action = "compareAndDelete"
	Expire           Action = "expire"
	// Watch is only the action of an operation. No event has it.
	Watch Action = "watch"
)

// Operation is a request that passed the checks of its form.
type Operation struct {
	Action Action
	// Key is "" for the root. Otherwise it is clean and begins with a slash.
	Key   string
	Value string
	Dir   bool
	// Recursive applies to reads, watches and deletes.
	Recursive bool
	// Quorum asks for a linearizable read.
	Quorum bool
	// PrevValue and PrevIndex are conditions unless they are zero.
	PrevValue string
	PrevIndex uint64
	// Refresh keeps the value and wakes no watch. It applies to Set, Update and CompareAndSwap.
	Refresh bool
	// Expires is in nanoseconds since 1970; 0 means that the node is permanent.
	Expires int64
	// InOrder makes a Create choose the name of the node below Key. The name is larger than
	// After and than the index of the tree.
	InOrder bool
	After   uint64
	// Since is the waitIndex of a Watch; 0 means after the current index.
	Since  uint64
	Stream bool
	// NoValueOnSuccess omits the nodes from the answer.
	NoValueOnSuccess bool
}

// Write reports whether the operation changes the tree if it succeeds.
func (o *Operation) Write() bool { return o.Action != Get && o.Action != Watch }

// conditional reports whether the operation compares the node with a value or an index.
func (o *Operation) conditional() bool { return o.PrevIndex > 0 || o.PrevValue != "" }
