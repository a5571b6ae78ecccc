package interp

// NumLanes is how many states Lockstep works on at once.
const NumLanes = 16

// Lanes holds one value of each of NumLanes states.
type Lanes [NumLanes]uint64
