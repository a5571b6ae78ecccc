package guest

import "github.com/superbpf/superbpf/loader"

// portName is how the guest finds its port among the virtio ports.
const portName = "superbpf"

// hello is the first message of a guest.
type hello struct {
	Release string
	// Level is the newest instruction set level that the kernel loads, 1 to 4.
	Level int
}

// request asks for one thing; both sides encode with gob, so that fields may
// come and go.
type request struct {
	ID uint64
	// Prepared: load this program, or say that its object must be loaded first.
	Prepared *loader.Prepared
	// Object and Program, without Prepared: load this program of this object.
	// Type is as in loader.Kernel.
	Object        []byte
	Program, Type string
	// Unset asks as loader.Kernel.LoadUnset does.
	Unset bool
	// Forget frees the maps of earlier objects first.
	Forget bool
}

// response answers the request of the same ID.
type response struct {
	ID     uint64
	Result *loader.LoadResult
	// Whole is set when a prepared program's object must be loaded first.
	Whole bool
	// Err is set when no verdict was had.
	Err string
}
