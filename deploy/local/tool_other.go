//go:build unix && !linux

package main

// stopWithTool does nothing: only Linux can signal the end of a parent.
func stopWithTool() {}
