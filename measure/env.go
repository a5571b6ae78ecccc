package measure

import "github.com/superbpf/superbpf/loader"

// Env is the machine on which a record was made.
type Env struct {
	loader.Host
	PMU bool `json:"pmu"`
}

// CurrentEnv reads it.
func CurrentEnv() Env { return Env{loader.ProbeHost(), loader.HasPMU()} }
