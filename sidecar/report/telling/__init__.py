"""What was found, as a document, a page, Markdown and SageMaker's files."""
