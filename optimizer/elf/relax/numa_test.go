package relax

import "testing"

const nodes = `
#define SEC(s) __attribute__((section(s), used))
#define TYPE(n, t) int (*n)[t]
#define LRU struct { TYPE(type, 9); TYPE(max_entries, 7); TYPE(key_size, 4); TYPE(value_size, 8); TYPE(map_flags, 4); TYPE(numa_node, 3); }
LRU first SEC(".maps");
LRU second SEC(".maps");
struct inner { TYPE(type, 9); TYPE(max_entries, 7); TYPE(key_size, 4); TYPE(value_size, 8); TYPE(numa_node, 2); } filled SEC(".maps");
struct { TYPE(type, 12); TYPE(max_entries, 1); TYPE(key_size, 4); struct inner *values[1]; } outer SEC(".maps") = { { &filled } };
struct { TYPE(type, 30); TYPE(max_entries, 9); TYPE(value_size, 8); TYPE(map_extra, 5); } bloom SEC(".maps");
static void *(*lookup)(void *map, void *key) = (void *)1;
SEC("xdp") int all(void *ctx) { int k = 0; return !lookup(&first, &k) + !lookup(&second, &k) + !lookup(&outer, &k) + !lookup(&bloom, &k); }
`

// Maps may name the node whose memory they want.
func TestNumaNodes(t *testing.T) {
	spec, bad, err := Collection(compiled(t, nodes), Options{})
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	for name, want := range map[string][2]uint64{"first": {3, 0}, "second": {3, 0}, "filled": {2, 0}, "outer": {0, 0}, "bloom": {0, 5}} {
		if m := spec.Maps[name]; m == nil || uint64(m.NumaNode) != want[0] || m.MapExtra != want[1] {
			t.Errorf("%s: %+v, want node and extra %v", name, m, want)
		}
	}
	if m := spec.Maps["outer"]; m != nil && (m.InnerMap == nil || m.InnerMap.NumaNode != 2 || m.InnerMap.MapExtra != 0) {
		t.Errorf("inner map %+v", m.InnerMap)
	}
}
