package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Trial is one stretch of traffic at a constant rate.
type Trial struct {
	// Target is the rate asked for, Offered the rate that was really sent, in
	// million packets per second.
	Target  float64 `json:"target_mpps"`
	Offered float64 `json:"offered_mpps"`
	Sent    uint64  `json:"sent"`
	// Received is what the program under test saw.
	Received uint64 `json:"received"`
}

// Loss is the share of packets lost.
func (t Trial) Loss() float64 {
	if t.Sent == 0 || t.Received >= t.Sent {
		return 0
	}
	return 1 - float64(t.Received)/float64(t.Sent)
}

// RateOptions steer a search for the highest loss-free rate. Zero values mean
// the defaults given.
type RateOptions struct {
	// Low and High bound the search (0.1 and 30 Mpps).
	Low, High float64
	// Precision ends it: the step in relation to the rate (0.02).
	Precision float64
	// Tolerance is the loss that still counts as none (0.001): a virtual machine
	// that stops for a moment loses packets at any rate.
	Tolerance float64
	// Tries is how often a rate may fail before it counts as too high (3).
	Tries int
}

func (o *RateOptions) defaults() {
	set := func(p *float64, v float64) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.Low, 0.1)
	set(&o.High, 30)
	set(&o.Precision, 0.02)
	set(&o.Tolerance, 0.001)
	if o.Tries <= 0 {
		o.Tries = 3
	}
}

// RateResult is what a search found.
type RateResult struct {
	// Mpps is the highest rate offered without loss.
	Mpps float64 `json:"mpps"`
	// SenderBound: the sender could not offer more, so the program under test
	// may take more than Mpps.
	SenderBound bool `json:"sender_bound,omitempty"`
	// Trials are all that was tried, in order.
	Trials []Trial `json:"trials"`
}

// ErrLossy means that packets are lost at the lowest rate already.
var ErrLossy = errors.New("packets are lost at the lowest rate")

// offeredEnough is how near the offered rate must come to the target for a
// trial to say something about the target.
const offeredEnough = 0.95

// SearchRate looks for the highest rate without loss, by bisection in the sense
// of RFC 2544, section 26.1. A trial counts for the rate that it offered, not
// for the one that it was asked for.
func SearchRate(ctx context.Context, trial func(mpps float64) (Trial, error), o RateOptions) (*RateResult, error) {
	o.defaults()
	r := new(RateResult)
	// passes tries a rate until it is offered in full without loss, and returns
	// the highest rate offered without loss, 0 if all tries lost.
	passes := func(rate float64) (best float64, err error) {
		for range o.Tries {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			t, err := trial(rate)
			if err != nil {
				return 0, err
			}
			r.Trials = append(r.Trials, t)
			if t.Loss() > o.Tolerance || t.Sent == 0 {
				continue
			}
			best = max(best, t.Offered)
			if best >= offeredEnough*rate {
				break
			}
		}
		return best, nil
	}
	low, high := o.Low, o.High
	offered, err := passes(low)
	if err != nil {
		return nil, err
	}
	if offered == 0 {
		return r, fmt.Errorf("%w, %.2f Mpps", ErrLossy, low)
	}
	r.Mpps = offered
	for high/low > 1+o.Precision {
		mid := math.Sqrt(low * high)
		offered, err := passes(mid)
		if err != nil {
			return nil, err
		}
		switch {
		case offered == 0:
			high = mid
			r.SenderBound = false
		case offered < offeredEnough*mid:
			// The sender is at its end; asking for more offers no more.
			r.Mpps = max(r.Mpps, offered)
			high = mid
			r.SenderBound = true
		default:
			r.Mpps = max(r.Mpps, offered)
			low = mid
		}
	}
	return r, nil
}
