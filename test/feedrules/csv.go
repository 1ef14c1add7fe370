package feedrules

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
)

// CSV checks a table (RFC 4180) with a head and gives its rows by the names of the columns.
func CSV(t testing.TB, table []byte) []map[string]string {
	t.Helper()
	lines := strings.ReplaceAll(string(table), "\r\n", "\n")
	text(t, "the table", lines)
	all, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("no table: %v\n%.2000s", err, table)
	}
	if n := strings.Count(string(table), "\r\n"); n != len(all) || strings.Count(lines, "\n") != n {
		t.Errorf("%d rows on %d lines", len(all), strings.Count(lines, "\n"))
	}
	rows := make([]map[string]string, 0, len(all)-1)
	for _, cells := range all[1:] {
		row := make(map[string]string, len(cells))
		for i, s := range cells {
			row[all[0][i]] = s
			notCalculated(t, all[0][i], s)
		}
		if len(row) != len(all[0]) {
			t.Fatalf("columns of the same name: %q", all[0])
		}
		rows = append(rows, row)
	}
	return rows
}

// notCalculated checks that no spreadsheet takes a cell for a formula, whether it splits lines at commas or at semicolons.
func notCalculated(t testing.TB, column, cell string) {
	t.Helper()
	for part := range strings.SplitSeq(cell, ";") {
		if part = strings.TrimSpace(part); part != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(part)[0]) {
			t.Errorf("%s: %q is a formula to a spreadsheet", column, cell)
		}
	}
}
