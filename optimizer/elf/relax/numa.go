package relax

import "github.com/cilium/ebpf"

// numaNodes renames the fields of map definitions that name a memory node, which the
// reader does not know, to one that it reads alike, and returns the maps that have
// one; a map's inner map's under the name that the reader gives it.
func (t *types) numaNodes() map[string]bool {
	out := map[string]bool{}
	ds := t.datasec(".maps")
	if ds == 0 {
		return out
	}
	alias := uint32(0)
	for _, v := range t.members(ds) {
		if t.kind(v) != kindVar {
			continue
		}
		def := t.bare(t.word(v))
		t.numaNode(t.name(v), def, &alias, out)
		// The inner map's definition: *values[].
		if at := t.member(def, "values"); at >= 0 && t.kind(def) == kindStruct {
			if a := t.bare(t.extra(def, 3*at+1)); t.kind(a) == kindArray {
				if p := t.bare(t.extra(a, 0)); t.kind(p) == kindPtr {
					t.numaNode(t.name(v)+"_inner", t.bare(t.word(p)), &alias, out)
				}
			}
		}
	}
	return out
}

// other is the field that takes the place of numa_node: also a number, read the same
// way.
const other = "map_extra"

func (t *types) numaNode(name string, def int, alias *uint32, out map[string]bool) {
	if t.kind(def) != kindStruct {
		return
	}
	at := t.member(def, "numa_node")
	if at < 0 && *alias != 0 && t.member(def, other) >= 0 {
		// Another map's definition may be of the same type.
		at = t.member(def, other)
		out[name] = le.Uint32(t.b[t.at[def]+12+12*at:]) == *alias
		return
	}
	if at < 0 || t.member(def, other) >= 0 {
		return
	}
	if *alias == 0 {
		*alias = t.addString(other)
	}
	le.PutUint32(t.b[t.at[def]+12+12*at:], *alias)
	out[name] = true
}

// member is the number of a structure's member of that name, -1 if it has none.
func (t *types) member(id int, name string) int {
	if t.kind(id) != kindStruct {
		return -1
	}
	n := int(le.Uint32(t.b[t.at[id]+4:]) & 0xffff)
	for k := range n {
		if cString(t.b[t.strs:], le.Uint32(t.b[t.at[id]+12+12*k:])) == name {
			return k
		}
	}
	return -1
}

// setNumaNodes puts what was read as the other field where it belongs.
func setNumaNodes(spec *ebpf.CollectionSpec, has map[string]bool) {
	set := func(m *ebpf.MapSpec, name string) {
		if m != nil && has[name] {
			m.NumaNode, m.MapExtra = uint32(m.MapExtra), 0
		}
	}
	for name, m := range spec.Maps {
		set(m, name)
		set(m.InnerMap, name+"_inner")
	}
}
