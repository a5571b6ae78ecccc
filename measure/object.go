package measure

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/measure/mapstate"
)

// FromObject makes a subject of a program in an object file's bytes. Each
// instance's maps start with what the object and then the states say.
func FromObject(name string, object []byte, program string, states []mapstate.State) Subject {
	return FromObjectAs(name, object, program, "", states)
}

// FromObjectAs is FromObject with the section name ("xdp", "tc", ...) that gives
// the type of programs whose own section's name gives none.
func FromObjectAs(name string, object []byte, program, typ string, states []mapstate.State) Subject {
	sum := sha256.Sum256(object)
	return Subject{Name: name, Hash: hex.EncodeToString(sum[:]), Load: func() (*Instance, error) {
		l, err := loader.OpenTestableAs(object, program, typ)
		if err != nil {
			return nil, err
		}
		if err := fill(l, states, nil); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		inst := &Instance{FD: l.FD(), AttachType: l.AttachType(), Target: l.Target(), Close: l.Close}
		inst.Sockets = func(cookies []uint64) error { return fill(l, states, cookies) }
		for _, m := range l.Maps() {
			v, err := loader.NewMapView(m.FD(), m.Name)
			if err != nil {
				return nil, errors.Join(err, l.Close())
			}
			inst.Maps = append(inst.Maps, v)
		}
		return inst, nil
	}}
}
