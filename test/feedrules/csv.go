package feedrules

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
)

// CSV checks a table (RFC 4180) with a header row. It returns each row as a map from the name of the column to the value.
func CSV(t testing.TB, table []byte) []map[string]string {
	t.Helper()
	lines := strings.ReplaceAll(string(table), "\r\n", "\n")
	text(t, "the table", lines)
	all, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("not a CSV table: %v\n%.2000s", err, table)
	}
	if n := strings.Count(string(table), "\r\n"); n != len(all) || strings.Count(lines, "\n") != n {
		t.Errorf("%d rows on %d lines", len(all), strings.Count(lines, "\n"))
	}
	rows := make([]map[string]string, 0, len(all)-1)
	for _, cells := range all[1:] {
		row := make(map[string]string, len(cells))
		for i, s := range cells {
			row[all[0][i]] = s
		}
		if len(row) != len(all[0]) {
			t.Fatalf("columns of the same name: %q", all[0])
		}
		rows = append(rows, row)
	}
	return rows
}

// SpreadsheetCSV checks a table that is safe for spreadsheets, and returns it like [CSV].
func SpreadsheetCSV(t testing.TB, table []byte) []map[string]string {
	t.Helper()
	rows := CSV(t, table)
	for _, row := range rows {
		for column, s := range row {
			checkNoFormula(t, column, s)
		}
	}
	return rows
}

// checkNoFormula checks that a cell is not a formula, also for spreadsheets that split lines at semicolons.
func checkNoFormula(t testing.TB, column, cell string) {
	t.Helper()
	for part := range strings.SplitSeq(cell, ";") {
		if part = strings.TrimSpace(part); part != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(part)[0]) {
			t.Errorf("%s: %q is a formula to a spreadsheet", column, cell)
		}
	}
}
