package loader_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

func TestRunReturnsPacketAndVerdict(t *testing.T) {
	kerneltest.Require(t)
	const size = 60
	// Writes 0xee into the first byte of the packet and passes it on.
	prog := kerneltest.Load(t, kerneltest.XDP,
		kerneltest.Raw(0x61, 2, 1, 0, 0), // r2 = *(u32 *)(r1 + 0): data
		kerneltest.Raw(0x61, 3, 1, 4, 0), // r3 = data_end
		kerneltest.MovReg(4, 2),
		kerneltest.Add(4, 14),
		kerneltest.Mov(0, 2),
		kerneltest.Raw(0x2d, 4, 3, 1, 0),    // if r4 > r3 goto exit
		kerneltest.Raw(0x72, 2, 0, 0, 0xee), // *(u8 *)r2 = 0xee
		kerneltest.Exit)
	run := loader.TestRun{Prog: prog.FD(), Data: make([]byte, size), Out: make([]byte, 2048)}
	if err := run.Run(); err != nil {
		t.Fatal(err)
	}
	if run.Ret != 2 || len(run.Out) != size || run.Out[0] != 0xee || run.Out[1] != 0 {
		t.Errorf("ret %d, %d bytes, first % x", run.Ret, len(run.Out), run.Out[:2])
	}
	run.Repeat = 1000
	if d, err := run.Timed(); err != nil || d <= 0 {
		t.Errorf("Timed: %v, %v", d, err)
	}
	run.Repeat = 0
	if d, err := run.TimedLoop(100); err != nil || d <= 0 {
		t.Errorf("TimedLoop: %v, %v", d, err)
	}
}

func TestTracepointRefusesTestRun(t *testing.T) {
	kerneltest.Require(t)
	const tracepoint = 5
	prog := kerneltest.Load(t, tracepoint, kerneltest.Mov(0, 0), kerneltest.Exit)
	run := loader.TestRun{Prog: prog.FD(), Ctx: make([]byte, 64)}
	if err := run.Run(); !errors.Is(err, loader.ErrNoTestRun) {
		t.Errorf("got %v, want ErrNoTestRun", err)
	}
}

func TestVerifierLogIsInTheError(t *testing.T) {
	kerneltest.Require(t)
	_, err := loader.LoadRaw(kerneltest.XDP, kerneltest.Insns(kerneltest.Exit), loader.RawOptions{})
	if err == nil || !strings.Contains(err.Error(), "R0 !read_ok") {
		t.Errorf("got %v", err)
	}
}

// Every kind of map that can be listed gives back what was put in.
func TestMapDump(t *testing.T) {
	kerneltest.Require(t)
	for _, c := range []struct {
		name          string
		kind          uint32
		entries, fill int
	}{
		{"hash", 1, 20000, 10000},
		{"array", 2, 9000, 9000},
		{"lru", 9, 1000, 100},
		{"empty hash", 1, 16, 0},
		{"one", 2, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := loader.NewRawMap(c.kind, 4, 8, c.entries)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			want := map[string]string{}
			for i := range c.fill {
				k, v := make([]byte, 4), make([]byte, 8)
				binary.LittleEndian.PutUint32(k, uint32(i))
				binary.LittleEndian.PutUint64(v, uint64(i)*7919)
				if err := m.Update(k, v); err != nil {
					t.Fatal(err)
				}
				want[string(k)] = string(v)
			}
			view, err := loader.NewMapView(m.FD(), c.name)
			if err != nil {
				t.Fatal(err)
			}
			var d loader.MapDump
			for range 2 { // the second time with buffers in place
				if err := view.Dump(&d); err != nil {
					t.Fatal(err)
				}
				got := map[string]string{}
				for i := range d.Count {
					got[string(d.Key(i))] = string(d.Value(i))
				}
				if fmt.Sprint(got) != fmt.Sprint(want) || d.Count != len(want) {
					t.Fatalf("%d entries, want %d", d.Count, len(want))
				}
			}
		})
	}
	m, err := loader.NewRawMap(22, 0, 8, 4) // queue
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	view, err := loader.NewMapView(m.FD(), "queue")
	if err != nil {
		t.Fatal(err)
	}
	if err := view.Dump(new(loader.MapDump)); !errors.Is(err, loader.ErrNoDump) {
		t.Errorf("queue: got %v, want ErrNoDump", err)
	}
}
