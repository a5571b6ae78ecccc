package elf

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// byteOffset is the kind of CO-RE record that asks for where a field lies
// (enum bpf_core_relo_kind of include/uapi/linux/bpf.h).
const byteOffset = 0

// signedField is the width in bits of the field that a CO-RE record asks the place of,
// if that is a signed integer, else 0. Loaders change the width of accesses to a field
// that is of another size in the kernel, and refuse to where it is signed here
// (bpf_core_calc_relo of tools/lib/bpf/relo_core.c): so one that is
// loaded at all has the width that it was compiled for.
func (x *btfExt) signedField(types *btf.Spec, rec []byte) uint8 {
	le := binary.LittleEndian
	if types == nil || le.Uint32(rec[12:]) != byteOffset || int64(le.Uint32(rec[8:])) >= int64(len(x.strings)) {
		return 0
	}
	access, _, _ := bytes.Cut(x.strings[le.Uint32(rec[8:]):], []byte{0})
	t, err := types.TypeByID(btf.TypeID(le.Uint32(rec[4:])))
	if err != nil {
		return 0
	}
	path := strings.Split(string(access), ":")
	for _, s := range path[1:] { // the first is an index of an array of the whole
		i, err := strconv.Atoi(s)
		if err != nil || i < 0 {
			return 0
		}
		var members []btf.Member
		switch u := btf.UnderlyingType(t).(type) {
		case *btf.Struct:
			members = u.Members
		case *btf.Union:
			members = u.Members
		case *btf.Array:
			t = u.Type
			continue
		}
		if i >= len(members) || members[i].BitfieldSize != 0 {
			return 0
		}
		t = members[i].Type
	}
	if n, ok := btf.UnderlyingType(t).(*btf.Int); ok && n.Encoding&btf.Signed != 0 && n.Size <= 8 {
		return uint8(8 * n.Size)
	}
	return 0
}
