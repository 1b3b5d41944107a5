"""Scripts for those who maintain the project; nothing here is deployed."""
