package refresh

import (
	"context"
	"log/slog"

	"ecr-continuous-scan/internal/scan"
)

// RepositoryAttrs returns the attributes of a log message about a repository.
func RepositoryAttrs(repo scan.Repository) []any {
	return []any{"registry", repo.Registry, "region", repo.Region, "repository", repo.Name}
}

// LogImage logs an error about an image as a warning.
func LogImage(ctx context.Context, log *slog.Logger, message string, image scan.Image, err error) {
	log.WarnContext(ctx, message, append(RepositoryAttrs(image.Repository), "tag", image.Tag, "platform", image.Platform, "digest", image.Digest, "error", err)...)
}
