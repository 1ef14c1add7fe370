// Package consumers gives the SARIF logs, the tables and the package URLs of the service to the programs that people use: the SARIF Multitool of
// Microsoft (validate, match-results-forward and merge), sarif-junit, sarif-to-markdown, Papa Parse, packageurl-js, and Python's csv module.
//
// It is only built with the tag consumers; .ci/run installs the programs and runs it. It reads the recorded answers in testdata, and those in
// ../shared if they are there.
package consumers
