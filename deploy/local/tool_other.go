//go:build unix && !linux

package main

// stopWithTool can't be asked for here.
func stopWithTool() {}
