package pipeline

import "context"

// maxSifted bounds the instructions that are looked at to price single rewrites.
const maxSifted = 1 << 18

// sift leaves out the sites of a set that cost more each by itself, and reports
// whether there were any, and others.
func (w *work) sift(ctx context.Context, t Transform, sites []int, skip map[int]bool) bool {
	if len(sites)*len(w.cur.Insns) > maxSifted {
		return false
	}
	var out []int
	for _, s := range sites {
		cand, changes := t.Run(ctx, w.cur, func(k int) bool { return k == s })
		if cand == nil || len(changes) != 1 {
			continue
		}
		cand.Compact()
		if !w.affordable(w.price(cand)) {
			out = append(out, s)
			w.dropped[w.key(t, changes[0])] = len(w.steps)
		}
	}
	if len(out) == 0 || len(out) == len(sites) || ctx.Err() != nil {
		return false
	}
	for _, s := range out {
		skip[s] = true
	}
	return true
}
