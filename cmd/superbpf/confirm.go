package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/superbpf/superbpf/loader"
)

// confirm has the running kernel run both programs on the counterexample and
// notes what it said. typ is the type of programs whose section gives none.
func (c *counterexample) confirm(first, second []byte, nameA, nameB, typ string) {
	if os.Geteuid() != 0 {
		c.Kernel = "not asked: needs root"
		return
	}
	x, err := c.kernelRun(first, nameA, typ)
	if err != nil {
		c.Kernel = "not confirmed: the first object: " + err.Error()
		return
	}
	again, err := c.kernelRun(first, nameA, typ)
	if err != nil || x.differs(again) != "" {
		c.Kernel = "not confirmed: the first program does not agree with itself"
		return
	}
	y, err := c.kernelRun(second, nameB, typ)
	if err != nil {
		c.Kernel = "not confirmed: the second object: " + err.Error()
		return
	}
	if d := x.differs(y); d != "" {
		c.Kernel = "confirmed: " + d
		return
	}
	c.Kernel = "does the same with both here: the difference may lie in calls that it carries out otherwise"
}

// kernelOutcome is what one run in the kernel did.
type kernelOutcome struct {
	ret    uint32
	packet []byte
	maps   map[string][]loader.Entry
}

// kernelRun loads a program with maps of its own, fills them, and runs it once.
func (c *counterexample) kernelRun(object []byte, name, typ string) (*kernelOutcome, error) {
	l, err := loader.Open(object, name, typ)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	for m, entries := range c.input.Maps {
		mp, ok := l.Map(m)
		if !ok {
			continue
		}
		for _, e := range entries {
			if err := mp.Set(e.Key, e.Value); err != nil {
				return nil, fmt.Errorf("map %s: %w", m, err)
			}
		}
	}
	r := loader.TestRun{Prog: l.FD(), Data: c.input.Packet, Out: make([]byte, len(c.input.Packet)+512)}
	if err := r.Run(); err != nil {
		// Types without a packet take a context.
		r = loader.TestRun{Prog: l.FD(), Ctx: c.input.Ctx}
		if err2 := r.Run(); err2 != nil {
			return nil, err
		}
	}
	o := &kernelOutcome{ret: r.Ret, packet: bytes.Clone(r.Out), maps: map[string][]loader.Entry{}}
	for _, m := range l.Maps() {
		if o.maps[m.Name], err = m.Dump(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *kernelOutcome) differs(p *kernelOutcome) string {
	if o.ret != p.ret {
		return fmt.Sprintf("returns %d and %d", int32(o.ret), int32(p.ret))
	}
	if !bytes.Equal(o.packet, p.packet) {
		return fmt.Sprintf("packets %x and %x", o.packet, p.packet)
	}
	for name, a := range o.maps {
		b, ok := p.maps[name]
		if !ok {
			continue
		}
		if len(a) != len(b) {
			return fmt.Sprintf("map %s has %d and %d entries", name, len(a), len(b))
		}
		for k := range a {
			if !bytes.Equal(a[k].Key, b[k].Key) || !bytes.Equal(a[k].Value, b[k].Value) {
				return fmt.Sprintf("map %s: %x -> %x and %x -> %x", name, a[k].Key, a[k].Value, b[k].Key, b[k].Value)
			}
		}
	}
	return ""
}
