package measure

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

// onEvents makes a program with a counter: one array map whose only element is at
// r0 after the prelude. r6 holds the context.
func onEvents(name string, progType, attachType uint32, target string, body ...kerneltest.Insn) Subject {
	raw := kerneltest.Raw
	return Subject{Name: name, Hash: name, Load: func() (*Instance, error) {
		const array = 2
		m, err := loader.NewRawMap(array, 4, 8, 1)
		if err != nil {
			return nil, err
		}
		insns := append([]kerneltest.Insn{
			kerneltest.MovReg(6, 1),
			raw(0x62, 10, 0, -4, 0),
			kerneltest.MovReg(2, 10), kerneltest.Add(2, -4),
			raw(0x18, 1, 1, 0, int32(m.FD())), raw(0, 0, 0, 0, 0),
			kerneltest.Call(1),
			raw(0x55, 0, 0, 2, 0), kerneltest.Mov(0, 1), kerneltest.Exit,
		}, body...)
		p, err := loader.LoadRaw(progType, kerneltest.Insns(insns...), loader.RawOptions{Name: name, AttachType: attachType})
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		v, err := loader.NewMapView(m.FD(), "count")
		if err != nil {
			return nil, err
		}
		return &Instance{FD: p.FD(), Maps: []Map{v}, AttachType: attachType, Target: target,
			Close: func() error { return errors.Join(p.Close(), m.Close()) }}, nil
	}}
}

// count adds to the counter and returns 1.
func count(by int32) []kerneltest.Insn {
	raw := kerneltest.Raw
	return []kerneltest.Insn{raw(0x79, 1, 0, 0, 0), kerneltest.Add(1, by), raw(0x7b, 0, 1, 0, 0), kerneltest.Mov(0, 1), kerneltest.Exit}
}

const (
	sockAddrType   = 18
	tracepointType = 5
)

// Every hook on socket addresses runs its program once a call, and a difference
// in the map or in the address is found.
func TestSocketHooks(t *testing.T) {
	kerneltest.Require(t)
	for attach, hook := range socketHooks {
		t.Run(loader.AttachTypeName(attach), func(t *testing.T) {
			progType := uint32(sockAddrType)
			if attach == 2 || attach == 12 || attach == 13 {
				progType = 9 // cgroup_sock
			}
			a := onEvents("a", progType, attach, "", count(1)...)
			b := onEvents("b", progType, attach, "", count(2)...)
			o := DifferOptions{Inputs: randomInputs(40)}
			r, err := Differ(context.Background(), a, a, o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Difference != nil || r.Runs != 40 || len(r.Masked) > 0 {
				t.Errorf("against itself: %+v", r)
			}
			if r, err = Differ(context.Background(), a, b, o); err != nil {
				t.Fatal(err)
			}
			if r.Difference == nil || r.Difference.What != "map count" || r.Difference.Input != 0 {
				t.Errorf("another counter: %+v", r)
			}
			if progType != sockAddrType || hook.v6 {
				return
			}
			// user_port, in network order: 7.
			port := onEvents("port", progType, attach, "", append([]kerneltest.Insn{kerneltest.Mov(1, 7<<8), kerneltest.Raw(0x63, 6, 1, 24, 0)}, count(1)...)...)
			if r, err = Differ(context.Background(), a, port, o); err != nil {
				t.Fatal(err)
			}
			if r.Difference == nil || r.Difference.What != "packet" && r.Difference.What != "error" {
				t.Errorf("another port: %+v", r)
			}
		})
	}
}

// Programs at a tracepoint see the same events. Nobody else makes these calls often.
func TestTracepoints(t *testing.T) {
	kerneltest.Require(t)
	for _, target := range []string{"syscalls/sys_enter_chmod", "syscalls/sys_exit_creat"} {
		a := onEvents("a", tracepointType, 0, target, count(1)...)
		b := onEvents("b", tracepointType, 0, target, count(2)...)
		o := DifferOptions{Inputs: randomInputs(40)}
		r, err := Differ(context.Background(), a, b, o)
		if errors.Is(err, ErrNotMeasurable) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Difference == nil || r.Difference.What != "map count" {
			t.Errorf("%s: another counter: %+v", target, r)
		}
	}
	_, err := Differ(context.Background(), onEvents("a", tracepointType, 0, "sched/none", count(1)...),
		onEvents("a", tracepointType, 0, "sched/none", count(1)...), DifferOptions{Inputs: randomInputs(4)})
	if !errors.Is(err, ErrNotMeasurable) || !strings.Contains(err.Error(), "no such tracepoint") {
		t.Errorf("a tracepoint that is not there: %v", err)
	}
}

// Every other type whose events can be raised here runs its program on each input,
// agrees with itself, and a difference in the map is found; it is timed as well.
func TestOtherEvents(t *testing.T) {
	kerneltest.Require(t)
	for _, c := range []struct {
		name                 string
		progType, attachType uint32
	}{
		{"perf_event", 7, 0}, {"kprobe", 2, 0}, {"sock_ops", 13, 3}, {"device", 15, 6}, {"sysctl", 23, 18}, {"getsockopt", 25, 21}, {"setsockopt", 25, 22},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := onEvents("a", c.progType, c.attachType, "", count(1)...)
			b := onEvents("b", c.progType, c.attachType, "", count(2)...)
			o := DifferOptions{Inputs: randomInputs(40)}
			r, err := Differ(context.Background(), a, a, o)
			if errors.Is(err, loader.ErrNoUprobes) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Difference != nil || r.Runs != 40 || len(r.Masked) > 0 || r.MapDumps == 0 {
				t.Errorf("against itself: %+v", r)
			}
			if r, err = Differ(context.Background(), a, b, o); err != nil {
				t.Fatal(err)
			}
			if r.Difference == nil || r.Difference.What != "map count" || r.Difference.Input != 0 {
				t.Errorf("another counter: %+v", r)
			}
			l, err := Latency(context.Background(), a, []Subject{a}, brief(LatencyOptions{Inputs: randomInputs(1)}))
			if err != nil {
				t.Fatal(err)
			}
			if l.Control.Base.Mid == 0 || l.Referee == "" {
				t.Errorf("not timed: %+v", l.Control)
			}
			t.Logf("%s: floor %.0f ns, program %.1f ns", l.Referee, l.Floor, l.Control.Base.Mid)
		})
	}
}

// What a program decides about is seen: a refusal is another outcome.
func TestRefusalsAreSeen(t *testing.T) {
	kerneltest.Require(t)
	for _, c := range []struct {
		name                 string
		progType, attachType uint32
	}{{"device", 15, 6}, {"sysctl", 23, 18}, {"setsockopt", 25, 22}} {
		yes := onEvents("yes", c.progType, c.attachType, "", kerneltest.Mov(0, 1), kerneltest.Exit)
		no := onEvents("no", c.progType, c.attachType, "", kerneltest.Mov(0, 0), kerneltest.Exit)
		r, err := Differ(context.Background(), yes, no, DifferOptions{Inputs: randomInputs(4)})
		if err != nil {
			t.Fatal(err)
		}
		if r.Difference == nil || r.Difference.What != "return value" {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// Types whose events nothing here raises say why.
func TestNotMeasurableSaysWhy(t *testing.T) {
	kerneltest.Require(t)
	for kind, why := range map[uint32]string{14: "sockets of a map", 16: "sockets of a map", 21: "group of sockets"} {
		p := subject("p", kind, kerneltest.Mov(0, 1), kerneltest.Exit)
		_, err := Latency(context.Background(), p, nil, LatencyOptions{Inputs: somePacket})
		if !errors.Is(err, ErrNotMeasurable) || !strings.Contains(err.Error(), why) {
			t.Errorf("type %d: %v", kind, err)
		}
	}
}

// Programs are timed by the kernel's run statistics.
func TestLatencyOfEvents(t *testing.T) {
	kerneltest.Require(t)
	work := func(n int) []kerneltest.Insn {
		insns := []kerneltest.Insn{kerneltest.Mov(1, 3)}
		for range n {
			insns = append(insns, kerneltest.Mul(1, 7))
		}
		return append(insns, kerneltest.Mov(0, 1), kerneltest.Exit)
	}
	subject := func(name string, n int) Subject { return onEvents(name, sockAddrType, 19, "", work(n)...) }
	inSomeTry(t, func(seed uint64) string {
		start := time.Now()
		r, err := Latency(context.Background(), subject("base", 1000), []Subject{subject("slow", 3000), subject("fast", 10)},
			brief(LatencyOptions{Inputs: somePacket, Seed: seed}))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: floor %.1f, repeats %v, %+v, %v", r.Referee, r.Floor, r.Repeats, r.Rivals, time.Since(start))
		return ranked(r)
	})
}

// No group is left when a session is over.
func TestNoGroupIsLeft(t *testing.T) {
	kerneltest.Require(t)
	a := onEvents("a", sockAddrType, 19, "", count(1)...)
	if _, err := Differ(context.Background(), a, a, DifferOptions{Inputs: randomInputs(4)}); err != nil {
		t.Fatal(err)
	}
	left, err := loader.CgroupsOf(os.Getpid())
	if err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}
