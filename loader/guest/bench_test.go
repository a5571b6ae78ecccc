package guest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
)

// A program of usual size, with a map and CO-RE-free, as the search asks about it: again and
// again. Run with -bench Loads.
const typical = `
#define SEC(s) __attribute__((section(s), used))
#define TYPE(n, t) int (*n)[t]
struct { TYPE(type, 6); TYPE(max_entries, 256); unsigned *key; long *value; } rxcnt SEC(".maps");
static void *(*lookup)(void *map, void *key) = (void *)1;
struct ctx { unsigned data, data_end; };
SEC("xdp") int drop(struct ctx *c) {
	unsigned char *p = (void *)(long)c->data, *end = (void *)(long)c->data_end;
	unsigned short proto;
	unsigned k;
	long *v;
	if (p + 14 > end) return 2;
	proto = *(unsigned short *)(p + 12);
	p += 14;
	if (proto == 0x81 || proto == 0xa888) {
		if (p + 4 > end) return 2;
		proto = *(unsigned short *)(p + 2);
		p += 4;
	}
	if (proto == 8) {
		if (p + 20 > end) return 2;
		k = p[9];
	} else if (proto == 0xdd86) {
		if (p + 40 > end) return 2;
		k = p[6];
	} else
		k = 0;
	v = lookup(&rxcnt, &k);
	if (v) *v += 1;
	return k == 17 ? 3 : 1;
}
char _license[] SEC("license") = "GPL";
`

// Besides the rate it tells the processor time that a load takes in the machine
// (or here), which does not depend on what else the host does.
func BenchmarkLoads(b *testing.B) {
	need(b)
	raw := sample(b, typical)
	g, err := startAny()
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	k, err := loader.NewKernel()
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	type load func(context.Context, []byte, string) (*loader.LoadResult, error)
	for _, c := range []struct {
		name string
		load load
		pid  int
	}{
		{"guest", g.Load, g.m.process.Pid}, {"guest-whole", g.LoadWhole, g.m.process.Pid},
		{"host", k.Load, os.Getpid()}, {"host-whole", k.LoadWhole, os.Getpid()},
	} {
		b.Run(c.name, func(b *testing.B) {
			one := func() {
				if r, err := c.load(b.Context(), raw, "drop"); err != nil || !r.Accepted {
					b.Fatalf("%+v, %v", r, err)
				}
			}
			for range 30 {
				one()
			}
			start := processorTime(b, c.pid)
			for b.Loop() {
				one()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "loads/s")
			b.ReportMetric(1e3*(processorTime(b, c.pid)-start).Seconds()/float64(b.N), "cpu-ms/load")
		})
	}
}

// processorTime is what a process has used so far.
func processorTime(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
