package pipeline

import (
	"context"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxAttempts bounds the candidates of one transform that are judged in one
// run over a function.
const maxAttempts = 300

// maxSuspects is how many rewrites of a refused set are left out one by one, on
// the word of a verifier's log, before the set is halved, or a part of a large set;
// maxMisled how often that may fail for a transform until its logs are no longer
// listened to.
const (
	maxSuspects   = 2
	suspectsShare = 4
	maxMisled     = 4
)

// fewSites is up to how many sites a set that costs too much is halved, so that
// some that pay together are found.
const fewSites = 4

// hunt is the search for a set of a transform's sites that the judges accept.
type hunt struct {
	*work
	t Transform
	// skip are sites that were refused, suspects those that a log pointed at, for now.
	skip, suspects map[int]bool
	limit          int // the number of sites to allow, -1 for all
	// pointed counts the suspects that logs named; blamed are where they saw the fault.
	pointed int
	blamed  map[int]bool
	// dear tells of each site that was priced by itself whether it costs too much.
	dear map[int]bool
}

// once looks for a set of t's sites that the judges accept. Sites refused
// before are left out. Of a set that a kernel refused, the rewrite that its log
// points at is left out first; otherwise the first half is tried alone, down to
// a single guilty site. again says that another run may find more.
func (w *work) once(ctx context.Context, t Transform) (ok, again bool, err error) {
	h := &hunt{work: w, t: t, skip: map[int]bool{}, suspects: map[int]bool{}, limit: -1, blamed: map[int]bool{}, dear: map[int]bool{}}
	for range maxAttempts {
		if ctx.Err() != nil {
			return false, false, nil
		}
		cand, changes, sites := h.candidate(ctx)
		if cand == nil {
			if len(h.suspects) == 0 {
				return false, false, nil
			}
			clear(h.suspects) // the rest was guilty, too
			continue
		}
		if h.known(changes, sites) {
			continue
		}
		var res GateResult
		if ok, res, err = h.judge(ctx, cand, changes, sites); err != nil || ok {
			return ok, ok, err
		}
		if w.circling {
			return false, false, nil
		}
		h.narrow(ctx, cand, changes, sites, &res)
	}
	w.unfinished = true
	return false, false, nil
}

// candidate runs the transform on all sites that are not left out; nil for no candidate.
func (h *hunt) candidate(ctx context.Context) (*prog.Func, []Change, []int) {
	var sites []int
	cand, changes := h.t.Run(ctx, h.cur, func(s int) bool {
		if h.skip[s] || h.suspects[s] || h.limit >= 0 && len(sites) >= h.limit {
			return false
		}
		sites = append(sites, s)
		return true
	})
	if cand == nil || len(changes) == 0 || len(changes) != len(sites) {
		return nil, nil, nil
	}
	return cand, changes, sites
}

// known leaves out the sites that were refused before, and reports whether there
// are any. Where all were suspects once, each is tried alone.
func (h *hunt) known(changes []Change, sites []int) bool {
	any, all := false, true
	for i, c := range changes {
		key := h.key(h.t, c)
		if h.out(key) {
			h.skip[sites[i]], any = true, true
		}
		all = all && h.suspected[key]
	}
	if !any && all && len(sites) > 1 {
		h.limit, any = 1, true
	}
	return any
}

// judge tries a candidate, at first with more rewrites after it.
func (h *hunt) judge(ctx context.Context, cand *prog.Func, changes []Change, sites []int) (bool, GateResult, error) {
	if len(changes) == 1 {
		if ok, err := h.trySeries(ctx, h.t, h.series(ctx, h.t, link{cand, changes})); ok || err != nil {
			return ok, GateResult{FailSlot: -1}, err
		}
	}
	each := true // of the sites is worth its price by itself
	for _, s := range sites {
		dear, priced := h.dear[s]
		each = each && priced && !dear
	}
	n := 1
	if each {
		n = len(sites)
	}
	ok, res, err := h.try(ctx, h.t, cand, changes, n)
	if ok && len(h.suspects) > 0 {
		h.misled[h.t.Name()] = 0
	}
	return ok, res, err
}

// narrow leaves out sites after a set of them was refused.
func (h *hunt) narrow(ctx context.Context, cand *prog.Func, changes []Change, sites []int, res *GateResult) {
	if h.costly && len(sites) > 1 && h.sift(ctx, sites) {
		return
	}
	if guilty := h.guilty(changes); len(guilty) > 0 && (h.proof.Alone || len(h.suspects) == 0) {
		for _, g := range guilty {
			if h.proof.Alone {
				h.skip[sites[g]] = true
				h.dropped[h.key(h.t, changes[g])] = refusedForever
			} else {
				h.suspects[sites[g]] = true
			}
		}
		return
	}
	if len(sites) > 1 {
		if c, at := h.suspect(cand, changes, res); c >= 0 && h.listens(at, len(sites)) {
			h.suspects[sites[c]], h.blamed[at] = true, true
			h.suspected[h.key(h.t, changes[c])] = true
			h.pointed++
			return
		}
		if len(h.suspects) > 0 && h.limit < 0 {
			h.misled[h.t.Name()]++
		}
		h.limit = (len(sites) + 1) / 2
		return
	}
	if h.costly {
		h.setAside(h.t, changes[0])
	} else {
		h.dropped[h.key(h.t, changes[0])] = refusedForever
	}
	h.skip[sites[0]] = true
	if h.limit >= 0 {
		// It was found without the logs: what they pointed at may be innocent.
		h.exonerate()
	}
	h.limit = -1
}

// exonerate lets the suspects be tried with the others again.
func (h *hunt) exonerate() {
	clear(h.suspects)
	clear(h.suspected)
}

// listens: one more suspect may be left out on the word of a log that saw the fault
// at an instruction. That a large set has several guilty sites is likely; that the
// fault stays where it was is a sign of none of them.
func (h *hunt) listens(at, sites int) bool {
	if h.misled[h.t.Name()] >= maxMisled {
		return false
	}
	return h.pointed < maxSuspects || !h.blamed[at] && h.pointed < sites/suspectsShare
}

// sift prices the sites of a set that costs too much one by one and leaves out those
// that do so by themselves. Those that pay by themselves may cost a little together,
// as they might one after the other. It reports whether that makes a difference.
func (h *hunt) sift(ctx context.Context, sites []int) bool {
	fresh, dear := false, 0
	out := map[int]Change{}
	for _, s := range sites {
		if _, ok := h.dear[s]; !ok {
			fresh = true
			cand, changes := h.t.Run(ctx, h.cur, func(x int) bool { return x == s })
			if cand == nil || len(changes) != 1 {
				continue
			}
			cand.Compact()
			if h.dear[s] = !h.affordable(h.price(cand), 1); h.dear[s] {
				out[s] = changes[0]
			}
		}
		if h.dear[s] {
			dear++
		}
	}
	if dear == len(sites) && dear <= fewSites || ctx.Err() != nil {
		return false // some may pay together
	}
	for s, c := range out {
		h.skip[s] = true
		h.setAside(h.t, c)
	}
	return fresh
}
