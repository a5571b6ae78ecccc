package main

import (
	"github.com/spf13/cobra"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
)

// sectionType is a section name that gives programs a type, or empty.
type sectionType struct{ name *string }

// typeFlag adds the flag --type. A name that stands for no type is an error of
// the command line, even where no program needs it.
func typeFlag(c *cobra.Command, name *string) {
	c.Flags().Var(sectionType{name}, "type", "type, as a section name (xdp, tc, kprobe, ...), of programs whose section's name gives none")
}

func (t sectionType) String() string {
	if t.name == nil {
		return ""
	}
	return *t.name
}

func (t sectionType) Type() string { return "string" }

func (t sectionType) Set(s string) error {
	if err := relax.CheckType(s); err != nil {
		return err
	}
	*t.name = s
	return nil
}
