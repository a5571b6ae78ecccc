package loader

import (
	"context"
	"strings"

	"github.com/cilium/ebpf"
)

// settable: a map of constants that whoever loads an object may set before: all
// but what the compiler put there for itself, and the kernel's configuration.
func settable(name string) bool {
	return strings.HasPrefix(name, ".rodata") && !strings.HasPrefix(name, ".rodata.str") && !strings.HasPrefix(name, ".rodata.cst") && name != ".rodata.kconfig"
}

// unset makes the verifier take such constants for unknown, and reports whether
// there are any: it goes by what is in a map only when that is frozen, and the
// library freezes maps by their names.
func unset(spec *ebpf.CollectionSpec) bool {
	found := false
	for name, m := range spec.Maps {
		if settable(name) {
			m.Name, found = "unset"+name, true
		}
	}
	return found
}

// LoadUnset is Load with the values unknown of all constants that the program's
// loader may set before it loads: with those that the object has the verifier
// skips what they switch off, and code that it never saw may be refused elsewhere.
// It returns nil where the program has no such constants.
func (k *Kernel) LoadUnset(ctx context.Context, object []byte, program string) (*LoadResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	spec, err := k.read(object, program)
	if err != nil {
		return unreadable(err), nil
	}
	spec = spec.Copy() // what was read stays as it is
	if !unset(spec) {
		return nil, nil
	}
	return k.ask(ctx, object, spec, program)
}

// PrepareUnset is Prepare for LoadUnset; has tells whether the program has
// constants that its loader may set.
func PrepareUnset(object []byte, program, typ string) (p *Prepared, has bool) {
	spec, err := parse(object, program, typ, false)
	if err != nil {
		return nil, true // loading it will tell why
	}
	if !unset(spec) {
		return nil, false
	}
	return prepare(object, spec, program), true
}
