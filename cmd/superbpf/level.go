package main

import (
	"fmt"
	"strconv"
	"strings"
)

// level is a flag's instruction set level as clang's -mcpu has them, with or without
// the v; 0 is none.
type level int

func (l *level) String() string { return strconv.Itoa(int(*l)) }

func (l *level) Type() string { return "level" }

func (l *level) Set(s string) error {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "v"))
	if err != nil || n < 1 || n > 4 {
		return fmt.Errorf("instruction set levels are v1 to v4, not %q", s)
	}
	*l = level(n)
	return nil
}
