package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// Difference is something that two programs did unlike each other.
type Difference struct {
	// Input is the index of the input after which the difference showed.
	Input int `json:"input"`
	// What names the place: "return value", "packet", "packet length",
	// "context", "error" or "map NAME".
	What string `json:"what"`
	// Detail says it in full, A and B are both sides' bytes in hex where bytes
	// differ.
	Detail string `json:"detail"`
	// Packet is the input, in hex.
	Packet string `json:"packet"`
}

func (d *Difference) String() string {
	return fmt.Sprintf("input %d: %s: %s", d.Input, d.What, d.Detail)
}

// DifferReport is what Differ found.
type DifferReport struct {
	Runs int `json:"runs"` // of each side
	// Referee says how the kernel ran the programs.
	Referee string `json:"referee"`
	// MapDumps counts how often all maps were compared.
	MapDumps int `json:"map_dumps"`
	// Refused counts inputs that the kernel would not run.
	Refused int `json:"refused,omitempty"`
	// Masked names what was not compared, since the first program does not agree
	// with itself there (times, random numbers) or it cannot be read.
	Masked []string `json:"masked,omitempty"`
	// Returns counts the first program's return values: a corpus that takes one
	// path only proves little.
	Returns map[uint32]int `json:"returns"`
	// Difference is the first one, nil if there is none.
	Difference *Difference `json:"difference,omitempty"`
}

// DifferOptions steer Differ.
type DifferOptions struct {
	Inputs []Input
	// Progress is told how much is done; nil for nobody.
	Progress func(done, total int)
}

// errNoRuns says that inputs were of no use.
func errNoRuns(n int) error {
	return fmt.Errorf("the kernel runs it on none of the %d inputs", n)
}

// maxUnstable is how many differences that do not come back are masked before
// the comparison is given up.
const maxUnstable = 16

// confirmations is how often a difference must come back while the first program
// agrees with itself. A program that draws one of two random numbers looks like a
// changed one with a chance of at most a quarter each time.
const confirmations = 8

// Differ runs two programs on the same inputs, one packet at a time, each with
// maps of its own, and compares return value, packet bytes and length, context,
// and the contents of all maps. Places where a does not agree with itself are
// masked and reported. The difference returned was seen again on fresh loads.
func Differ(ctx context.Context, a, b Subject, o DifferOptions) (*DifferReport, error) {
	if len(o.Inputs) == 0 {
		return nil, errors.New("differ: no inputs")
	}
	ns, err := testbed.NewNamespace()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	d := &differ{o: o, a: a, b: b, masks: newMasks(), report: &DifferReport{Returns: map[uint32]int{}}, total: 2 * len(o.Inputs)}
	err = ns.Do(func() error {
		err := d.run(ctx)
		return errors.Join(err, d.exec.close())
	})
	d.report.Masked = append(d.report.Masked, d.masks.list()...)
	if err == nil && d.report.Runs == 0 {
		// Agreement on nothing is no agreement.
		err = fmt.Errorf("%s: %w", a.Name, errNoRuns(len(o.Inputs)))
	}
	return d.report, err
}

type differ struct {
	o      DifferOptions
	a, b   Subject
	masks  *masks
	report *DifferReport
	exec   *executor
	done   int
	total  int
}

func (d *differ) run(ctx context.Context) error {
	// First a against itself: whatever differs now is its own doing.
	if _, err := d.pass(ctx, d.a, d.a, len(d.o.Inputs), learn); err != nil {
		return err
	}
	for range maxUnstable {
		d.report.Runs, d.report.Refused, d.report.MapDumps = 0, 0, 0
		clear(d.report.Returns)
		diff, err := d.pass(ctx, d.a, d.b, len(d.o.Inputs), check)
		if err != nil || diff == nil {
			return err
		}
		real, err := d.confirm(ctx, diff)
		if err != nil {
			return err
		}
		if real {
			d.report.Difference = &diff.Difference
			return nil
		}
		// It came by chance: a clock's high bytes, for instance.
		d.masks.add(diff)
	}
	return fmt.Errorf("%s against %s: %d differences that did not come back: the programs depend on time or chance", d.a.Name, d.b.Name, maxUnstable)
}

// confirm narrows a difference in a map to the input that made it and sees
// whether a difference comes back on fresh loads while a agrees with itself.
func (d *differ) confirm(ctx context.Context, f *found) (bool, error) {
	if f.atMap() {
		lo, hi := f.checked, f.Input+1 // maps agree after lo inputs, differ after hi
		for lo+1 < hi {
			mid := lo + (hi-lo)/2
			g, err := d.pass(ctx, d.a, d.b, mid, replay)
			if err != nil {
				return false, err
			}
			if g != nil {
				hi, *f = g.Input+1, *g
			} else {
				lo = mid
			}
		}
	}
	for range confirmations {
		again, err := d.pass(ctx, d.a, d.b, f.Input+1, replay)
		if err != nil || again == nil || again.What != f.What {
			return false, err
		}
		self, err := d.pass(ctx, d.a, d.a, f.Input+1, replay)
		if err != nil || self != nil {
			return false, err
		}
	}
	return true, nil
}

// found is a difference with what masks need to know.
type found struct {
	Difference
	checked int    // the maps agreed after this many inputs
	mapName string // "" unless in a map
	keys    bool   // the map's keys differ
	offsets []int  // bytes that differ
}

func (f *found) atMap() bool { return f.mapName != "" }

// side is one program with its buffers.
type side struct {
	inst    *Instance
	run     loader.TestRun
	refused bool // the last input
	dumps   map[string]*loader.MapDump
	// first holds the initial contents of the maps that the other side lacks.
	first map[string]*loader.MapDump
}

// passMode says what a pass does with differences.
type passMode int

const (
	check  passMode = iota // return the first, count
	replay                 // return the first
	learn                  // mask them and go on
)

// pass runs the first n inputs on fresh loads of both subjects and returns the
// first difference outside the masks. Maps are compared after the first few
// inputs, at the end, and in between as often as keeps their cost below that of
// the runs.
func (d *differ) pass(ctx context.Context, a, b Subject, n int, mode passMode) (_ *found, err error) {
	var sides [2]side
	for i, s := range []Subject{a, b} {
		if sides[i].inst, err = s.Load(); err != nil {
			return nil, fmt.Errorf("load %s: %w", s.Name, err)
		}
		defer func() { err = errors.Join(err, sides[i].inst.close()) }()
		sides[i].dumps = map[string]*loader.MapDump{}
		for _, m := range sides[i].inst.Maps {
			sides[i].dumps[m.Name()] = new(loader.MapDump)
		}
	}
	if d.exec == nil {
		if d.exec, err = newExecutor(sides[0].inst); err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		d.report.Referee = d.exec.referee()
	}
	for i := range sides {
		if err := d.exec.adopt(sides[i].inst); err != nil {
			return nil, err
		}
	}
	for i := range sides {
		if err := d.keepFirst(&sides[i], &sides[1-i]); err != nil {
			return nil, err
		}
	}
	var inRuns, inMaps time.Duration
	checked, last := 0, time.Now()
	for i := range n {
		if i%256 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if d.o.Progress != nil && mode != replay {
				d.o.Progress(min(d.done+i, d.total), d.total)
			}
		}
		f, err := d.one(&sides, i)
		if err != nil {
			return nil, typedError(a.Name, err)
		}
		if mode == check {
			d.tally(&sides[0])
		}
		if f != nil {
			f.checked = checked
			if mode != learn {
				return f, nil
			}
			d.masks.add(f)
		}
		if i%64 != 63 && i >= 4 && i != n-1 {
			continue
		}
		now := time.Now()
		inRuns, last = inRuns+now.Sub(last), now
		if i >= 4 && i != n-1 && inMaps > inRuns {
			continue
		}
		for {
			f, err := d.maps(&sides, i)
			if err != nil {
				return nil, err
			}
			if f == nil {
				break
			}
			f.checked = checked
			if mode != learn {
				return f, nil
			}
			d.masks.add(f)
		}
		checked = i + 1
		if mode == check {
			d.report.MapDumps++
		}
		now = time.Now()
		inMaps, last = inMaps+now.Sub(last), now
	}
	if mode != replay {
		d.done = min(d.done+n, d.total)
	}
	return nil, nil
}

func (d *differ) tally(s *side) {
	if s.refused {
		d.report.Refused++
		return
	}
	d.report.Runs++
	d.report.Returns[s.run.Ret]++
}

// one runs both sides on one input and compares what comes back.
func (d *differ) one(sides *[2]side, i int) (*found, error) {
	in := d.o.Inputs[i]
	sides[0].refused = false
	var errs [2]error
	if err := d.exec.run([]*Instance{sides[0].inst, sides[1].inst}, in, []*loader.TestRun{&sides[0].run, &sides[1].run}, errs[:]); err != nil {
		return nil, err
	}
	f := func(what, format string, args ...any) *found {
		return &found{Difference: Difference{Input: i, What: what, Detail: fmt.Sprintf(format, args...), Packet: fmt.Sprintf("%x", in.Data)}}
	}
	x, y := &sides[0].run, &sides[1].run
	if errs[0] != nil || errs[1] != nil {
		// The kernel refuses some packets and contexts; it must do so for both.
		if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
			return f("error", "%v, but %v", errs[0], errs[1]), nil
		}
		sides[0].refused = true
		return nil, nil
	}
	if x.Ret != y.Ret && !d.masks.hides("return value", 0) {
		return f("return value", "%d, but %d", int32(x.Ret), int32(y.Ret)), nil
	}
	if x.OutLen != y.OutLen && !d.masks.hides("packet length", 0) {
		return f("packet length", "%d bytes, but %d", x.OutLen, y.OutLen), nil
	}
	for _, c := range []struct {
		what string
		x, y []byte
	}{{"packet", x.Out, y.Out}, {"context", x.CtxOut, y.CtxOut}} {
		if bytes.Equal(c.x, c.y) {
			continue
		}
		if offs := d.masks.visible(c.what, c.x, c.y); len(offs) > 0 {
			g := f(c.what, "byte %d: %x, but %x", offs[0], c.x[offs[0]], c.y[offs[0]])
			g.offsets = offs
			return g, nil
		}
	}
	return nil, nil
}
