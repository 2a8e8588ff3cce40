// Command problemdocs prints docs/problems.md.
package main

import (
	"fmt"
	"os"

	"fixdesk/pkg/httpapi"
)

func main() {
	if err := httpapi.WriteProblems(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "problemdocs:", err)
		os.Exit(1)
	}
}
