package main

import (
	"debug/elf"
	"debug/macho"
	"fmt"
)

// checkProgram reads the header of a program and fails unless it is one for the platform.
func checkProgram(path string, p platform) error {
	is := platform{}
	switch p.os {
	case "linux":
		f, err := elf.Open(path)
		if err != nil {
			return fmt.Errorf("the program for %s: %w", p, err)
		}
		defer f.Close()
		is = platform{"linux", map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[f.Machine]}
	case "darwin":
		f, err := macho.Open(path)
		if err != nil {
			return fmt.Errorf("the program for %s: %w", p, err)
		}
		defer f.Close()
		is = platform{"darwin", map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}[f.Cpu]}
	}
	if is != p {
		return fmt.Errorf("the program for %s is one for %s", p, is)
	}
	return nil
}
